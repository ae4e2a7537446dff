"""Starting weights under which the untrained codec already is a linear transform codec.

Every stage of SEANet can carry the samples of a frame in channels of their own: a stride of r lays
r neighbouring samples side by side. At the bottleneck one matrix product takes the frame to its
principal components, as it does before in a stage that has not room for all samples, and the decoder
is the mirror image. A signal takes two channels, x and −x, since ELU(x) − ELU(−x) is nearly 2x. With
codebooks fitted to the components the network codes speech and music at 8 dB SI-SNR and 6 kbit/s
before its first step of training. The channels that the transform does not need start at random, for
everything that is not linear.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from sonant.config import CodecConfig
from sonant.errors import ConfigError
from sonant.nn.codec import CodecNetwork
from sonant.nn.conv import Conv1d, ConvTranspose1d
from sonant.nn.seanet import Activated, ResidualUnit

COMPONENT_SCALE = 0.2
PRE_EMPHASIS = 0.5
LINEAR_LEVEL = 0.1
QUIET = 1e-3
CROPS_FOR_LEVELS = 64

Stages = list[Tensor]
TapsOf = Callable[[Tensor, Conv1d | ConvTranspose1d], Tensor]


def principal_components(vectors: Tensor, count: int, weighting: Tensor) -> tuple[Tensor, Tensor]:
    """Analysis `[count, N]` and synthesis `[N, count]` for vectors `[M, N]`, ordered by power.

    They are the pair that rebuilds `vectors @ weighting.T` with the least squared error.
    """
    weighted = vectors.float() @ weighting.T
    _, basis = torch.linalg.eigh(weighted.T @ weighted / len(vectors))
    basis = basis.flip(1)[:, :count]
    return basis.T @ weighting, torch.linalg.pinv(weighting) @ basis


def emphasis(size: int, channels: int) -> Tensor:
    """The matrix of x(t) − 0.5 x(t − 1), so that the quieter high frequencies have their share."""
    return torch.eye(size) - PRE_EMPHASIS * torch.diag(torch.ones(size - channels), -channels)


def transform_stages(config: CodecConfig, frames: Tensor) -> tuple[Stages, Stages]:
    """Analysis and synthesis of every strided layer, in the encoder's order, for `[M, hop · channels]`.

    The components of the last one are scaled so that the strongest has an RMS of 0.2.
    """
    signals, width = frames.reshape(-1, config.channels), config.n_filters
    rebuilt = torch.eye(config.channels)
    analyses, syntheses = [], []
    for ratio in reversed(config.ratios):
        width *= 2
        signals = signals.reshape(-1, ratio * signals.shape[1])
        rebuilt = torch.block_diag(*[rebuilt] * ratio)  # type: ignore[no-untyped-call]
        last = width == config.bottleneck_channels
        room = config.dimension if last else width // 2
        if last or room < signals.shape[1]:
            weighting = emphasis(len(rebuilt), config.channels) @ rebuilt
            analysis, synthesis = principal_components(signals, room, weighting)
        else:
            analysis = synthesis = torch.eye(signals.shape[1])
        if last:
            scale = COMPONENT_SCALE / (signals @ analysis[0]).square().mean().clamp_min(1e-9).sqrt()
            analysis, synthesis = scale * analysis, synthesis / scale
        signals, rebuilt = signals @ analysis.T, rebuilt @ synthesis
        analyses.append(analysis)
        syntheses.append(synthesis)
    return analyses, syntheses


def check_transform_start(config: CodecConfig) -> None:
    """Whether the network has room for samples and components, each as a pair of channels.

    Raises:
        ConfigError: if it has not.
    """
    if 2 * config.channels > config.n_filters or 2 * config.dimension > config.bottleneck_channels:
        raise ConfigError("a transform start needs more filters")


def start_as_transform(network: CodecNetwork, audio: Tensor) -> None:
    """Set weights, drawn by `initialise`, to a transform codec for audio `[B, T, channels]`.

    Raises:
        ConfigError: if the network has no room for it.
    """
    config = network.config
    check_transform_start(config)
    whole = audio.shape[1] // config.hop_length * config.hop_length
    frames = audio[:, :whole].reshape(-1, config.hop_length * config.channels)
    analyses, syntheses = transform_stages(config, frames)
    level = LINEAR_LEVEL if config.normalize else 1.0
    _start_encoder(list(network.encoder.layers), analyses, level)
    _start_decoder(list(network.decoder.layers), syntheses[::-1], level)
    if config.norm == "time_group_norm":
        _keep_levels(network, audio)


def _keep_levels(network: CodecNetwork, audio: Tensor) -> None:
    """Let every normalisation give back, on average, what it takes away."""

    def learn(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        variance, mean = torch.var_mean(inputs[0], dim=(1, 2))
        divisor = (variance + cast(nn.GroupNorm, norm).eps).sqrt()
        nn.init.constant_(cast(Tensor, norm.weight), float(divisor.log().mean().exp()))
        nn.init.constant_(cast(Tensor, norm.bias), float(mean.mean()))

    norms = [module for module in network.modules() if isinstance(module, nn.GroupNorm)]
    hooks = [norm.register_forward_pre_hook(learn) for norm in norms]
    with torch.no_grad():
        network(audio[:CROPS_FOR_LEVELS], 0)
    for hook in hooks:
        hook.remove()


def _write(layer: nn.Module, taps: Tensor, first: int, activated: bool, paired: bool = True) -> None:
    """Make the first channels of a layer compute `taps` `[outputs, inputs, K]` from tap `first` on.

    What was there before is kept at a thousandth: weight normalisation has no use for zeros.

    Args:
        activated: whether the inputs are pairs behind an ELU, rather than plain channels.
        paired: whether the outputs are pairs.
    """
    conv = cast(Conv1d | ConvTranspose1d, layer)
    if activated:
        taps = torch.cat([taps, -taps], 1) / 2
    if paired:
        taps = torch.cat([taps, -taps], 0)
    outputs, inputs, count = taps.shape
    weight = conv.folded_weight().detach().clone()
    by_output = weight if isinstance(conv, Conv1d) else weight.transpose(0, 1)
    by_output[:outputs] *= QUIET
    by_output[:outputs, :inputs, first : first + count] += taps
    conv.set_weight(weight)


def _here(conv: Conv1d) -> int:
    """The tap on the present sample."""
    return conv.padding_total if conv.causal else conv.padding_total - conv.padding_total // 2


def _own_taps(layer: nn.Module) -> int:
    """The first of the taps of a layer with stride that lie on the frame's own samples."""
    conv = cast(Conv1d | ConvTranspose1d, layer)
    if isinstance(conv, Conv1d):
        return _here(conv)
    return 0 if conv.causal else conv.stride - conv.stride // 2


def _pass_through(unit: ResidualUnit, channels: int) -> None:
    """Keep the first channels as they are."""
    if unit.shortcut is not None:
        _write(unit.shortcut, torch.eye(channels)[:, :, None], 0, activated=False, paired=False)
    _write(unit.widen, torch.zeros(channels, 1, 1), 0, activated=False, paired=False)


def _quiet(lstm: nn.LSTM) -> None:
    """Scale the cell input, and with it the output, to almost nothing."""
    size = lstm.hidden_size
    with torch.no_grad():
        for parameter in lstm.parameters():
            parameter[2 * size : 3 * size] *= QUIET


def _inner(layer: nn.Module) -> nn.Module:
    return layer.layer if isinstance(layer, Activated) else layer


def _start(layers: list[nn.Module], stages: Stages, taps_of: TapsOf, first: float, last: float) -> None:
    """Set one network's layers; `first` and `last` scale what comes in and what goes out."""
    signals = 0
    waiting = iter(stages)
    for layer in layers:
        conv = _inner(layer)
        if isinstance(conv, ResidualUnit):
            _pass_through(conv, 2 * signals)
        elif isinstance(conv, nn.LSTM):
            _quiet(conv)
        elif isinstance(conv, Conv1d) and conv.stride == 1:
            comes_in = layer is conv
            signals = signals or conv.in_channels
            taps = (first if comes_in else last) * torch.eye(signals)[:, :, None]
            _write(conv, taps, _here(conv), activated=not comes_in, paired=comes_in)
        elif isinstance(conv, Conv1d | ConvTranspose1d):
            taps = taps_of(next(waiting), conv)
            _write(conv, taps, _own_taps(conv), activated=True)
            signals = len(taps)


def _start_encoder(layers: list[nn.Module], analyses: Stages, level: float) -> None:
    def taps(analysis: Tensor, conv: Conv1d | ConvTranspose1d) -> Tensor:
        return analysis.unflatten(1, (conv.stride, -1)).transpose(1, 2)

    _start(layers, analyses, taps, level, 1.0)


def _start_decoder(layers: list[nn.Module], syntheses: Stages, level: float) -> None:
    def taps(synthesis: Tensor, conv: Conv1d | ConvTranspose1d) -> Tensor:
        return synthesis.unflatten(0, (conv.stride, -1)).permute(1, 2, 0)

    _start(layers, syntheses, taps, 1.0, 1 / level)
