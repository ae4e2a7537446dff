"""More filters compute what fewer do, and part from each other as they learn."""

import pytest
import torch

from sonant.config import CodecConfig
from sonant.nn.codec import CodecNetwork
from sonant.nn.conv import Conv1d
from sonant.nn.initialization import initialise
from sonant.nn.widening import start_as_narrower


def network(filters: int, **changes) -> CodecNetwork:
    sizes = {"dimension": 16, "n_q": 4, "bins": 64, "bandwidths": ()}
    made = CodecNetwork(CodecConfig("small", 24_000, n_filters=filters, **{**sizes, **changes}))
    initialise(made)
    for parameter in made.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return made


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"norm": "none", "true_skip": True, "lstm_layers": 0},
        {"causal": False, "pad_mode": "reflect", "norm": "time_group_norm", "channels": 2, "segment": 1.0},
        {"n_residual_layers": 2},
    ],
)
@pytest.mark.parametrize(("few", "many"), [(4, 8), (4, 12)])
def test_wider_networks_start_as_they_were_and_go_on(changes: dict, few: int, many: int) -> None:
    torch.manual_seed(0)
    narrow, wide = network(few, **changes), network(many, **changes)
    narrow.quantizer.codebooks.normal_()
    start_as_narrower(wide, narrow)
    audio = 0.1 * torch.randn(2, 3200, narrow.config.channels)
    torch.testing.assert_close(wide.encoder(audio), narrow.encoder(audio), rtol=1e-4, atol=1e-5)
    codes = narrow.encode(audio, 4)
    decoded = wide.decode(codes)
    torch.testing.assert_close(decoded, narrow.decode(codes), rtol=1e-4, atol=1e-5)

    decoded.square().mean().backward()
    layers = [layer for layer in wide.decoder.modules() if isinstance(layer, Conv1d)]
    gradients = [layer.bias.grad if layer.norm is None else layer.norm.bias.grad for layer in layers[:-1]]
    for gradient in gradients:
        first, *others = gradient.split(len(gradient) // (many // few))
        for other in others:
            assert (first - other).abs().max() > 0.01 * first.abs().max()
