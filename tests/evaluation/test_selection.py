"""Drawing the validation lists: what a recording's length is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from sonant.evaluation.selection import SECONDS, _files, _place

RATE = 48_000


def test_a_flac_of_unknown_length_is_as_long_as_what_it_holds(tmp_path: Path) -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal((8 * RATE, 2))
    for name in ("told", "untold", "cut"):
        soundfile.write(tmp_path / f"{name}.flac", noise, RATE)
    data = bytearray((tmp_path / "told.flac").read_bytes())
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    (tmp_path / "untold.flac").write_bytes(data)
    (tmp_path / "cut.flac").write_bytes(data[:100])
    rows = [
        f"validation\tmusic\t-\tx\tCC0\t1\t{name}.flac" for name in ("told", "untold", "cut", "missing")
    ]
    (tmp_path / "index.tsv").write_text(
        "\n".join(["split\tkind\tlang\tpackage\tlicence\tbytes\tpath", *rows])
    )
    assert _files(tmp_path, "x", "music") == [("told.flac", 8.0), ("untold.flac", 8.0)]
    places = [
        _place(tmp_path, f"{name}.flac", 8.0, np.random.default_rng(1)) for name in ("told", "untold")
    ]
    assert places[0] == places[1] == pytest.approx(1.5, abs=1.5)
    assert places[0] + SECONDS < 8
