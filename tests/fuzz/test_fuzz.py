"""The fuzzer runs, and a short run of it finds nothing; its targets are tried with hypothesis as well."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

FUZZ = Path(__file__).parents[2] / "fuzz"
sys.path.insert(0, str(FUZZ))

from targets import MONO, TARGETS, good_checksums  # noqa: E402


@pytest.mark.parametrize("name", TARGETS)
def test_a_short_run_finds_nothing(name: str, tmp_path: Path) -> None:
    pytest.importorskip("atheris")
    patient = ["-timeout=200", "-report_slow_units=200", "-max_len=256"]
    command = [sys.executable, str(FUZZ / "fuzz_ecdc.py"), name, "-runs=60", "-seed=1", *patient]
    own_peak = ["sh", "-c", '"$@"; exit $?', "sh"]  # a child's peak of memory starts with its parent's
    run = subprocess.run([*own_peak, *command], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr[-2000:]
    assert "Done 60 runs" in run.stderr and not list(tmp_path.iterdir())


def test_the_fuzzer_sees_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("targets.decoded", lambda *args: iter([(0, _codes_out_of_range())]))
    with pytest.raises(AssertionError):
        good_checksums(b"")


def _codes_out_of_range() -> object:
    import numpy as np

    from sonant.codes import Codes

    return Codes(np.full((MONO.n_q, 1), 1024, np.int16), 320)


@given(st.binary(max_size=300))
@settings(max_examples=100)
def test_any_bytes(data: bytes) -> None:
    for target in TARGETS.values():
        target(data)
