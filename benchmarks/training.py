"""Training steps per second beside the official modules, in the same run and in turns.

    python benchmarks/training.py [--batch 4] [--threads 1] [--precision bf16-mixed] [--discriminator]

The peer is the `encodec` package (`pip install --no-deps encodec==0.1.1 einops`) with random weights;
a step is forward, the same time and mel losses, backward, and Adam, at the same size on the same audio.
Where it is not installed only our own speed is measured. Beside the two stands what a step would take
that did nothing but the products of the official one, at the speed of a large product. One thread is timed
in processor time, which other programs on the machine disturb least; more threads by the clock on the wall.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import types
from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from sonant.config import CodecConfig
from sonant.nn.codec import CodecNetwork
from sonant.nn.discriminators import Discriminators, multi_scale_stft
from sonant.nn.initialization import initialise
from sonant.training.adversarial import discriminator_loss, feature_loss, generator_loss
from sonant.training.losses import MelLoss, time_loss
from sonant.training.memory import keep_freed_memory

WINDOWS = (2048, 1024, 512, 256, 128)
N_Q = 8

Judge = Callable[[Tensor], tuple[list[Tensor], list[list[Tensor]]]]


class Spectrogram(nn.Module):
    """The one part of torchaudio that the official modules use."""

    def __init__(self, n_fft: int, hop_length: int, win_length: int, window_fn: Any, **_: Any) -> None:
        super().__init__()
        self.sizes = n_fft, hop_length, win_length
        window = window_fn(win_length)
        self.register_buffer("window", window / window.square().sum().sqrt())

    def forward(self, x: Tensor) -> Tensor:
        """Complex spectrogram `[…, bins, frames]` of `[…, T]`."""
        flat = x.reshape(-1, x.shape[-1])
        y = torch.stft(flat, *self.sizes, self.window, center=False, return_complex=True)
        return y.reshape(*x.shape[:-1], *y.shape[-2:])


def official_modules() -> Any:
    """Modules of the package `encodec`, on a stand-in for torchaudio; None if it is not installed."""
    audio, transforms = types.ModuleType("torchaudio"), types.ModuleType("torchaudio.transforms")
    transforms.Spectrogram = Spectrogram  # type: ignore[attr-defined]
    audio.transforms = transforms  # type: ignore[attr-defined]
    sys.modules |= {"torchaudio": audio, "torchaudio.transforms": transforms}
    try:
        return import_module("encodec.model"), import_module("encodec.msstftd")
    except ImportError:
        return None


def official_codec(filters: int) -> tuple[nn.Module, Callable[[Tensor], tuple[Tensor, Tensor]]] | None:
    """The official 24 kHz network and its training forward pass on `[B, T, 1]`."""
    modules = official_modules()
    if modules is None:
        return None
    model_module = modules[0]
    parts = model_module.m
    encoder = parts.SEANetEncoder(channels=1, norm="weight_norm", causal=True, n_filters=filters)
    decoder = parts.SEANetDecoder(channels=1, norm="weight_norm", causal=True, n_filters=filters)
    quantizer = model_module.qt.ResidualVectorQuantizer(dimension=encoder.dimension, n_q=32, bins=1024)
    for layer in quantizer.vq.layers:
        layer._codebook.inited.fill_(1.0)
        layer._codebook.embed.normal_(std=0.1)
        layer._codebook.cluster_size.fill_(1.0)
        layer._codebook.embed_avg.copy_(layer._codebook.embed)
    network = nn.ModuleList([encoder, decoder, quantizer])

    def forward(audio: Tensor) -> tuple[Tensor, Tensor]:
        result = quantizer(encoder(audio.transpose(1, 2)), 75, 6.0)
        decoded = decoder(result.quantized)[:, :, : audio.shape[1]]
        return decoded.transpose(1, 2), result.penalty

    return network, forward


def our_codec(filters: int) -> tuple[nn.Module, Callable[[Tensor], tuple[Tensor, Tensor]]]:
    """Our network of the same size and its training forward pass."""
    network = CodecNetwork(CodecConfig("24khz", 24_000, n_filters=filters))
    initialise(network)
    network.quantizer.adopt_codebooks(torch.randn(32, 1024, 128) * 0.1, 300)

    def forward(audio: Tensor) -> tuple[Tensor, Tensor]:
        decoded, quantized = network(audio, N_Q)
        return decoded, quantized.commitment

    return network, forward


def our_judge() -> tuple[nn.Module, Judge]:
    """Our MS-STFT discriminator."""
    network = Discriminators(multi_scale_stft(WINDOWS))
    return network, network


def official_judge() -> tuple[nn.Module, Judge]:
    """The official MS-STFT discriminator at the same windows."""
    module = official_modules()[1]
    hops = [w // 4 for w in WINDOWS]
    network = module.MultiScaleSTFTDiscriminator(
        filters=32, n_ffts=list(WINDOWS), hop_lengths=hops, win_lengths=list(WINDOWS)
    )
    return network, network


class Step:
    """One training step of a codec, with or without a discriminator."""

    def __init__(
        self,
        codec: tuple[nn.Module, Callable[[Tensor], tuple[Tensor, Tensor]]],
        judge: tuple[nn.Module, Judge] | None,
        half: bool,
    ) -> None:
        self.network, self.forward = codec
        self.judge, self.half = judge, half
        self.mel = MelLoss(24_000)
        self.optimizer = torch.optim.Adam(self.network.parameters(), 3e-4, betas=(0.5, 0.9))
        if judge:
            self.judge_optimizer = torch.optim.Adam(judge[0].parameters(), 3e-4, betas=(0.5, 0.9))

    def __call__(self, audio: Tensor) -> None:
        """Forward, backward, update."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.half):
            decoded, commitment = self.forward(audio)
        decoded = decoded.float()
        loss = time_loss(audio, decoded) + self.mel(audio, decoded) + commitment.mean()
        if self.judge:
            loss = loss + self._adversarial(audio.transpose(1, 2), decoded.transpose(1, 2))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def _adversarial(self, real_audio: Tensor, fake_audio: Tensor) -> Tensor:
        assert self.judge is not None
        network, judge = self.judge
        with torch.autocast("cpu", torch.bfloat16, enabled=self.half):
            real_logits, real = judge(real_audio)
            fake_logits, _ = judge(fake_audio.detach())
        self.judge_optimizer.zero_grad()
        discriminator_loss(real_logits, fake_logits).backward()
        self.judge_optimizer.step()
        network.requires_grad_(False)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.half):
            logits, fake = judge(fake_audio)
        network.requires_grad_(True)
        return generator_loss(logits) + feature_loss(real, fake)


def arithmetic(step: Step, audio: Tensor, hop_length: int = 320) -> float:
    """GFLOP of the products in a step of the official modules, those of the LSTMs included."""
    with FlopCounterMode(display=False) as counter:
        step(audio)
    layers = [layer for layer in step.network.modules() if isinstance(layer, nn.LSTM)]
    weights = sum(p.numel() for layer in layers for p in layer.parameters() if p.dim() == 2)
    frames = audio.shape[0] * audio.shape[1] // hop_length
    return (counter.get_total_flops() + 3 * 2 * weights * frames) / 1e9


def fastest_product(half: bool, clock: Callable[[], float], size: int = 2048) -> float:
    """GFLOP a second of a product of square matrices."""
    x = torch.randn(size, size).to(torch.bfloat16 if half else torch.float32)
    best = float("inf")
    for _ in range(5):
        start = clock()
        x @ x
        best = min(best, clock() - start)
    return 2 * size**3 / best / 1e9


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--filters", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", default="32-true", choices=["32-true", "bf16-mixed"])
    parser.add_argument("--discriminator", action="store_true")
    parser.add_argument("--json")
    options = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    half = options.precision == "bf16-mixed"
    steps = {
        "sonant": Step(our_codec(options.filters), our_judge() if options.discriminator else None, half)
    }
    if (peer := official_codec(options.filters)) is not None:
        judge = official_judge() if options.discriminator else None
        steps["official"] = Step(peer, judge, half=False)
    clock = time.process_time if options.threads == 1 else time.perf_counter
    audio = torch.randn(options.batch, int(24_000 * options.seconds), 1) * 0.1
    best = dict.fromkeys(steps, float("inf"))
    for number in range(options.rounds + 1):
        for name, step in steps.items():
            start = clock()
            step(audio)
            if number:
                best[name] = min(best[name], clock() - start)
    if peer is not None:
        best["products"] = arithmetic(steps["official"], audio) / fastest_product(half, clock)
    result: dict[str, Any] = {**vars(options), "steps_per_second": {k: 1 / v for k, v in best.items()}}
    result["audio_seconds_per_second"] = {k: options.batch * options.seconds / v for k, v in best.items()}
    for name, duration in best.items():
        rates = f"{1 / duration:6.3f} steps/s  {options.batch * options.seconds / duration:6.2f} s/s"
        print(f"{name:9} {duration * 1000:8.0f} ms a step  {rates}")
    if "official" in best:
        result["ratio"] = best["official"] / best["sonant"]
        result["highest_ratio"] = best["official"] / best["products"]
        print(f"ratio     {result['ratio']:.2f}, {result['highest_ratio']:.2f} with the products alone")
    if options.json:
        with open(options.json, "w") as file:
            json.dump(result, file, indent=1)


if __name__ == "__main__":
    main()
