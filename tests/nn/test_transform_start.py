"""The transform start: an untrained network that already codes real audio."""

from pathlib import Path

import pytest
import soundfile
import torch

from sonant.config import CodecConfig
from sonant.errors import ConfigError
from sonant.nn.codec import CodecNetwork
from sonant.nn.initialization import initialise
from sonant.nn.transform_start import principal_components, start_as_transform
from sonant.training.losses import si_snr

AUDIO = Path(__file__).parents[2] / "examples" / "audio"


def excerpt(channels: int) -> torch.Tensor:
    samples, _ = soundfile.read(
        sorted(AUDIO.glob("*.flac"))[0], frames=96_000, dtype="float32", always_2d=True
    )
    return torch.from_numpy(samples)[:, :1].repeat(1, channels)[None]


def fresh_network(**changes: object) -> CodecNetwork:
    torch.manual_seed(0)
    values = {"name": "fresh", "sample_rate": 24000, "n_filters": 16, "norm": "none", **changes}
    network = CodecNetwork(CodecConfig(**values)).eval()
    initialise(network)
    return network


@torch.no_grad()
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"norm": "weight_norm", "pad_mode": "reflect"},
        {"causal": False, "segment": 1.0},
        {"channels": 2, "n_filters": 32},
        {
            "channels": 2,
            "causal": False,
            "pad_mode": "reflect",
            "norm": "time_group_norm",
            "normalize": True,
            "segment": 1.0,
        },
    ],
    ids=["bundled", "official", "non-causal", "stereo", "48khz"],
)
def test_untrained_network_transmits_audio(changes):
    network = fresh_network(**changes)
    audio = excerpt(network.config.channels)
    before, _ = network(audio, 0)
    start_as_transform(network, audio)
    after, _ = network(audio, 0)
    assert si_snr(audio, before).item() < 0
    assert si_snr(audio, after).item() > 10


@torch.no_grad()
def test_codebooks_fitted_to_the_components_code_audio():
    network = fresh_network(n_q=8, bins=64, bandwidths=(3.6,))
    audio = excerpt(1)
    start_as_transform(network, audio)
    network.quantizer.fit(network.encoder(audio).flatten(0, 1), iterations=5, frames_per_batch=600)
    decoded = [si_snr(audio, network(audio, n_q)[0]).item() for n_q in (1, 2, 4, 8)]
    assert decoded == sorted(decoded)
    assert decoded[0] > 1
    assert decoded[-1] > 6


def test_components_of_white_noise_rebuild_it():
    frames = torch.randn(4000, 32, generator=torch.Generator().manual_seed(0))
    analysis, synthesis = principal_components(frames, 32, torch.eye(32))
    torch.testing.assert_close(synthesis @ analysis, torch.eye(32), atol=1e-4, rtol=0)


def test_network_without_room_is_refused():
    with pytest.raises(ConfigError, match="filters"):
        start_as_transform(fresh_network(n_filters=8), torch.randn(1, 3200, 1))
