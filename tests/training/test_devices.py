import pytest
import torch

from sonant.training import devices
from sonant.training.devices import make_fabric, multiplies_bfloat16


@pytest.mark.parametrize(("capability", "precision"), [("AVX2", "32-true"), ("AVX512", "bf16-mixed")])
def test_a_processor_without_bfloat16_trains_in_float32(monkeypatch, capsys, capability, precision):
    monkeypatch.setattr(devices.torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(devices.torch.cuda, "is_available", lambda: False)
    assert make_fabric(1, "bf16-mixed")._precision.precision == precision
    assert ("training in 32-true" in capsys.readouterr().err) == (precision == "32-true")
    assert multiplies_bfloat16(torch.device("cuda"))
