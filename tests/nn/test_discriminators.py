"""Discriminators: the golden one, shapes and gradients of all, stereo channel by channel."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sonant.nn.discriminators import Discriminators, multi_scale_stft
from sonant.nn.waveform_discriminators import ResidualSTFTDiscriminator, multi_period, multi_scale
from sonant.training.adversarial import discriminator_loss

GOLDEN = Path(__file__).parents[1] / "data" / "training"
GOLDEN_WINDOWS = (1024, 2048, 512)


def renamed(key: str) -> str:
    key = key.replace("discriminators.", "scales.").replace(".conv_post.conv.", ".post.")
    key = key.replace("spec_transform.window", "window")
    for number in range(5):
        key = key.replace(f".convs.{number}.conv.", f".convs.{number}.")
    key = key.replace("weight_g", "parametrizations.weight.original0")
    return key.replace("weight_v", "parametrizations.weight.original1")


def test_the_golden_discriminator():
    network = Discriminators(multi_scale_stft(GOLDEN_WINDOWS, filters=4))
    tensors = {renamed(k): v for k, v in load_file(GOLDEN / "ms_stft_discriminator.safetensors").items()}
    for number in range(len(GOLDEN_WINDOWS)):
        window = tensors[f"scales.{number}.window"]
        tensors[f"scales.{number}.window"] = window / window.square().sum().sqrt()
    network.load_state_dict(tensors)
    expected = load_file(GOLDEN / "ms_stft_discriminator_expected.safetensors")
    with torch.no_grad():
        logits, features = network(expected["wav"][None])
    for scale, (logit, maps) in enumerate(zip(logits, features, strict=True)):
        torch.testing.assert_close(logit[0], expected[f"logits.{scale}"], rtol=1e-4, atol=1e-5)
        assert len(maps) == 5
        for layer, activation in enumerate(maps):
            mean = expected[f"fmap_mean.{scale}.{layer}"].squeeze()
            torch.testing.assert_close(activation.mean(), mean, rtol=1e-4, atol=1e-6)


BUILDERS = {
    "ms-stft": lambda: multi_scale_stft((512, 128), filters=2),
    "mpd": lambda: multi_period(filters=2),
    "msd": lambda: multi_scale(filters=8),
    "mono-stft": lambda: [ResidualSTFTDiscriminator(1024, filters=2)],
}


@pytest.mark.parametrize("kind", BUILDERS)
def test_every_discriminator_can_tell_a_tone_from_noise(kind):
    torch.manual_seed(0)
    network = Discriminators(BUILDERS[kind]())
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    time = torch.arange(4096) / 24000
    for _ in range(30):
        tone = torch.sin(2 * torch.pi * (200 + 2000 * torch.rand(2, 1, 1)) * time)
        noise = torch.randn(2, 1, 4096) * 0.7
        loss = sum(torch.relu(1 - x).mean() for x in network(tone)[0])
        loss = loss + sum(torch.relu(1 + x).mean() for x in network(noise)[0])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 1.5 * len(network.scales)


@pytest.mark.parametrize("kind", BUILDERS)
def test_stereo_is_judged_channel_by_channel(kind):
    torch.manual_seed(0)
    network = Discriminators(BUILDERS[kind]()).eval()
    stereo = torch.randn(2, 2, 4096)
    with torch.no_grad():
        logits, features = network(stereo)
        left, _ = network(stereo[:, :1])
    assert len(logits) == len(features)
    for both, alone in zip(logits, left, strict=True):
        torch.testing.assert_close(both[::2], alone, rtol=1e-4, atol=1e-5)


def steep_audio(loudness: float) -> tuple[torch.Tensor, torch.Tensor]:
    """A loud low tone over faint noise, and the tone alone."""
    time = torch.arange(4096) / 24000
    tone = torch.sin(2 * torch.pi * (100 + 100 * torch.rand(4, 1, 1)) * time)
    return loudness * (tone + 0.01 * torch.randn(4, 1, 4096)), loudness * tone


def loss_after_learning(emphasis: float) -> float:
    torch.manual_seed(0)
    network = Discriminators(BUILDERS["ms-stft"](), emphasis)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    losses = []
    for _ in range(60):
        real, fake = steep_audio(0.05)
        losses.append(discriminator_loss(network(real)[0], network(fake)[0]))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    return torch.stack(losses[-10:]).mean().item()


def test_with_emphasis_faint_high_bands_are_heard():
    assert loss_after_learning(0.97) < 1.0
    assert loss_after_learning(0.0) > 1.5


def test_with_emphasis_volume_does_not_matter():
    torch.manual_seed(0)
    network = Discriminators(BUILDERS["ms-stft"](), 0.97).eval()
    audio, _ = steep_audio(0.5)
    with torch.no_grad():
        for loud, soft in zip(network(audio)[0], network(0.1 * audio)[0], strict=True):
            torch.testing.assert_close(loud, soft, rtol=1e-2, atol=1e-3)


def test_above_their_band_nothing_is_judged():
    torch.manual_seed(0)
    network = Discriminators(BUILDERS["ms-stft"](), 0.97, 0.5).eval()
    audio = torch.randn(2, 1, 4096)
    hiss = torch.fft.irfft(torch.fft.rfft(torch.randn(2, 1, 4096)) * (torch.arange(2049) > 1100), 4096)
    with torch.no_grad():
        for plain, hissing in zip(network(audio)[0], network(audio + hiss)[0], strict=True):
            torch.testing.assert_close(plain, hissing, rtol=1e-3, atol=1e-4)


def test_silence_has_a_gradient_with_emphasis():
    audio = torch.zeros(2, 1, 4096, requires_grad=True)
    logits, _ = Discriminators(BUILDERS["ms-stft"](), 0.97)(audio)
    torch.stack([scale.sum() for scale in logits]).sum().backward()
    assert audio.grad is not None and torch.isfinite(audio.grad).all()
