"""Files joined end to end."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lm_files import MONO, STEREO, random_codes
from sonant.codes import Codes
from sonant.config import CodecConfig
from sonant.container import version1
from sonant.container.concatenate import concatenate
from sonant.container.decoding import decoded
from sonant.container.index import find_index
from sonant.container.probe import probe
from sonant.container.reader import ChunkReader, Damage
from sonant.container.version0 import write as write_version0
from sonant.container.writer import FileWriter
from sonant.errors import FormatError, SonantError
from sonant.files import join_files


def file_of(codes: Codes, config: CodecConfig, weights: str = "0" * 16) -> io.BytesIO:
    out = io.BytesIO()
    header = version1.Header(config.name, weights, config.sample_rate, config.channels, 320)
    writer = FileWriter(out, config, header, None, 1.0)
    writer.write(codes)
    writer.finish()
    return io.BytesIO(out.getvalue())


@pytest.mark.parametrize("config", [MONO, STEREO])
def test_joined_files_hold_what_each_held(config: CodecConfig) -> None:
    parts = [random_codes(config, 4, length, length) for length in (100_003, 320, 50_000)]
    joined = io.BytesIO()
    assert concatenate([("a", file_of(part, config)) for part in parts], joined) == 150_323
    index = find_index(joined)
    assert index and index.length == 150_323
    joined.seek(0)
    header, stream, _ = probe(joined)
    assert isinstance(header, version1.Header)
    items = list(decoded(iter(ChunkReader(stream, header)), config))
    starts = [item[0] for item in items if not isinstance(item, Damage)]
    assert len(starts) == len(items) and {0, 100_003, 100_323} <= set(starts)
    values = np.concatenate([item[1].values for item in items], axis=1)  # type: ignore[index]
    np.testing.assert_array_equal(values, np.concatenate([part.values for part in parts], axis=1))


def test_what_cannot_be_joined_is_said() -> None:
    codes = random_codes(MONO, 4, 32_000)
    with pytest.raises(FormatError, match="b: was made with another"):
        concatenate([("a", file_of(codes, MONO)), ("b", file_of(codes, MONO, "1" * 16))], io.BytesIO())
    cut = io.BytesIO(file_of(codes, MONO).getvalue()[:-20])
    with pytest.raises(FormatError, match="damaged"):
        concatenate([("a", cut)], io.BytesIO())
    old = io.BytesIO()
    write_version0(old, MONO, codes, "mono")
    old.seek(0)
    with pytest.raises(FormatError, match="version 0"):
        concatenate([("a", old)], io.BytesIO())
    with pytest.raises(FormatError, match="no files"):
        concatenate([], io.BytesIO())


def test_files_by_name(tmp_path: Path) -> None:
    one, two, out = (tmp_path / name for name in ("1.ecdc", "2.ecdc", "out.ecdc"))
    for path in (one, two):
        path.write_bytes(file_of(random_codes(MONO, 4, 30_000), MONO).getvalue())
    join_files([one, two], out)
    with out.open("rb") as file:
        index = find_index(file)
    assert index and index.length == 60_000
    with pytest.raises(SonantError, match="exists"):
        join_files([one, two], out)
    one.write_bytes(b"no file of ours")
    with pytest.raises(FormatError, match=r"1\.ecdc: the file is not"):
        join_files([one, two], out, overwrite=True)
    with out.open("rb") as file:
        assert find_index(file) == index


def test_a_file_whose_header_had_to_be_mended_is_not_joined() -> None:
    data = bytearray(file_of(random_codes(MONO, 4, 32_000), MONO).getvalue())
    data[20] ^= 1
    with pytest.raises(FormatError, match="a: is damaged"):
        concatenate([("a", io.BytesIO(bytes(data)))], io.BytesIO())


def test_tags_and_the_rate_before_may_differ_and_are_those_of_the_first() -> None:
    plain = version1.Header("mono", "0" * 16, 24_000, 1, 320)
    heads = [replace(plain, source_rate=rate, tags={"title": str(rate)}) for rate in (8000, 44_100)]
    files, joined = [], io.BytesIO()
    for head in heads:
        files.append(io.BytesIO())
        writer = FileWriter(files[-1], MONO, head)
        writer.write(Codes(np.zeros((4, 20), np.int16), 6400))
        writer.finish()
        files[-1].seek(0)
    assert concatenate([(str(n), file) for n, file in enumerate(files)], joined) == 12_800
    joined.seek(0)
    assert probe(joined)[0] == heads[0]
