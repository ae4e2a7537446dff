"""A small integer language model that knows that low codes are frequent, and such codes."""

import numpy as np
import torch

from sonant.codes import Codes
from sonant.config import CodecConfig, LanguageModelConfig
from sonant.entropy.integer_lm import IntegerLanguageModel
from sonant.nn.language_model import LanguageModel
from sonant.training.lm_quantise import integer_tensors

MONO = CodecConfig("mono", 24_000, n_q=8, bandwidths=(1.5, 3.0, 6.0))
STEREO = CodecConfig(
    "stereo",
    48_000,
    channels=2,
    causal=False,
    norm="time_group_norm",
    n_q=4,
    bandwidths=(3.0, 6.0),
    normalize=True,
    segment=1.0,
)


def small_network(n_q: int = 8, conditioned: bool = True, step_feed_forward: int = 0) -> LanguageModel:
    torch.manual_seed(0)
    sizes = LanguageModelConfig("small", n_q, 1024, 32, 2, 4, 64, 40, conditioned, step_feed_forward)
    network = LanguageModel(sizes)
    for table in network.linears:
        torch.nn.init.normal_(table.weight, std=0.05)
        table.bias.data.copy_(-0.02 * torch.arange(1024))
    return network.eval()


def small_tensors(
    n_q: int = 8, conditioned: bool = True, max_frames: int = 96, step_feed_forward: int = 0
) -> tuple[LanguageModelConfig, dict[str, np.ndarray]]:
    network = small_network(n_q, conditioned, step_feed_forward)
    codes = torch.randint(0, 1024, (2, n_q, max_frames))
    return network.config, integer_tensors(network, [codes], max_frames)


def small_model(
    n_q: int = 8, conditioned: bool = True, max_frames: int = 96, step_feed_forward: int = 0
) -> IntegerLanguageModel:
    tensors = small_tensors(n_q, conditioned, max_frames, step_feed_forward)
    return IntegerLanguageModel(*tensors, "ab" * 32)


def random_codes(config: CodecConfig, n_q: int, length: int, seed: int = 0) -> Codes:
    """Codes of `length` samples; low ones are frequent, as the small model has it."""
    random = np.random.default_rng(seed)
    segments = config.segments(length)
    frames = sum(config.frames_for(samples) for _, samples in segments)
    values = np.minimum(random.geometric(0.02, (n_q, frames)), 1023).astype(np.int16)
    scales = random.random(len(segments), np.float32) if config.normalize else None
    return Codes(values, length, scales)
