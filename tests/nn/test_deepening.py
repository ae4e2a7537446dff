"""More residual units compute what fewer do, and learn."""

import pytest
import torch

from sonant.config import CodecConfig
from sonant.nn.codec import CodecNetwork
from sonant.nn.deepening import start_as_shallower
from sonant.nn.initialization import initialise


def network(units: int, **changes) -> CodecNetwork:
    sizes = {"dimension": 16, "n_filters": 8, "n_q": 4, "bins": 64, "bandwidths": ()}
    made = CodecNetwork(CodecConfig("small", 24_000, n_residual_layers=units, **{**sizes, **changes}))
    initialise(made)
    return made


@pytest.mark.parametrize(
    "changes",
    [{}, {"norm": "none"}, {"true_skip": True, "lstm_layers": 0}, {"causal": False, "pad_mode": "reflect"}],
)
@pytest.mark.parametrize(("few", "many"), [(0, 1), (1, 2), (1, 3)])
def test_deeper_networks_start_as_they_were_and_go_on(changes: dict, few: int, many: int) -> None:
    torch.manual_seed(0)
    shallow, deep = network(few, **changes), network(many, **changes)
    shallow.quantizer.codebooks.normal_()
    start_as_shallower(deep, shallow)
    audio = 0.1 * torch.randn(2, 3200, 1)
    codes = shallow.encode(audio, 4)
    assert len(codes.unique()) > 8
    torch.testing.assert_close(deep.encode(audio, 4), codes, rtol=0, atol=0)
    decoded = deep.decode(codes)
    torch.testing.assert_close(decoded, shallow.decode(codes))

    decoded.square().mean().backward()
    learning = [p for p in deep.decoder.parameters() if p.grad is not None and p.grad.any()]
    assert len(learning) > len(list(shallow.decoder.parameters()))
