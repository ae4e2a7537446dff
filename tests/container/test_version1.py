"""Version 1 files: round trips, damage, cuts, seeking."""

import io
import tracemalloc
import zlib
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lm_files import MONO, STEREO, random_codes, small_model
from sonant.codes import Codes, join
from sonant.config import CodecConfig
from sonant.container import version1
from sonant.container.decoding import decoded
from sonant.container.index import Index, find_index, parse_index, read_numbers, variable_length
from sonant.container.probe import probe
from sonant.container.reader import ChunkReader, Damage, read_chunk_at
from sonant.container.writer import FileWriter
from sonant.entropy.integer_lm import IntegerLanguageModel
from sonant.errors import ConfigError, FormatError

cached_model = cache(small_model)


def header_of(config: CodecConfig, lm: IntegerLanguageModel | None = None) -> version1.Header:
    digest = lm.digest[:16] if lm else None
    return version1.Header(
        config.name, "0123456789abcdef", config.sample_rate, config.channels, 320, digest
    )


def written(
    config: CodecConfig, pieces: list[Codes], lm: IntegerLanguageModel | None = None, seconds: float = 1.0
) -> bytes:
    out = io.BytesIO()
    writer = FileWriter(out, config, header_of(config, lm), lm, seconds)
    for piece in pieces:
        writer.write(piece)
    writer.finish()
    return out.getvalue()


def read(
    data: bytes, config: CodecConfig, lm: IntegerLanguageModel | None = None, lanes: int = 8
) -> list[tuple[int, Codes] | Damage]:
    header, stream, _ = probe(io.BytesIO(data))
    assert isinstance(header, version1.Header)
    return list(decoded(iter(ChunkReader(stream, header)), config, lm, lanes))


def whole(items: list[tuple[int, Codes] | Damage]) -> Codes:
    assert not [item for item in items if isinstance(item, Damage)]
    return join([item[1] for item in items])  # type: ignore[index]


def assert_same(one: Codes, other: Codes) -> None:
    np.testing.assert_array_equal(one.values, other.values)
    assert one.length == other.length
    assert (one.scales is None) == (other.scales is None)
    if one.scales is not None:
        np.testing.assert_array_equal(one.scales, other.scales)


@given(st.integers(1, 8), st.integers(1, 90_000), st.booleans(), st.lists(st.integers(1, 60), max_size=6))
@settings(max_examples=30)
def test_any_length_in_any_pieces(n_q: int, length: int, use_lm: bool, cuts: list[int]) -> None:
    codes, lm = random_codes(MONO, n_q, length), cached_model() if use_lm else None
    pieces, first = [], 0
    for cut in [*cuts, codes.frames]:
        stop = min(first + cut, codes.frames)
        samples = min(stop * 320, length) - first * 320
        pieces.append(Codes(codes.values[:, first:stop], samples))
        first = stop
    assert_same(whole(read(written(MONO, pieces, lm), MONO, lm)), codes)


@given(st.integers(1, 300_000))
@settings(max_examples=30)
def test_segments_of_any_length(length: int) -> None:
    codes = random_codes(STEREO, 2, length)
    assert_same(whole(read(written(STEREO, [codes], None, 2.0), STEREO)), codes)


def test_a_chunk_of_very_many_segments() -> None:
    codes = random_codes(STEREO, 1, 340 * 47_520)
    for seconds in (1e6, 1e308):
        assert_same(whole(read(written(STEREO, [codes], seconds=seconds), STEREO)), codes)


@pytest.mark.parametrize("length", [47_520, 48_000, 95_041, 190_081, 237_600, 237_700])
def test_segments_with_a_language_model(length: int) -> None:
    lm, codes = small_model(4, max_frames=320), random_codes(STEREO, 4, length)
    assert_same(whole(read(written(STEREO, [codes], lm, 2.0), STEREO, lm)), codes)


def test_bytes_do_not_depend_on_pieces_or_lanes() -> None:
    lm, codes = cached_model(), random_codes(MONO, 4, 320 * 300)
    single = [Codes(codes.values[:, i : i + 1], 320) for i in range(300)]
    data = written(MONO, [codes], lm)
    header, stream, _ = probe(io.BytesIO(data))
    assert all(chunk.coding == version1.LANGUAGE_MODEL for chunk in ChunkReader(stream, header))  # type: ignore[arg-type, union-attr]
    assert len(data) < 0.8 * len(written(MONO, [codes]))
    assert data == written(MONO, single, lm)
    assert_same(whole(read(data, MONO, lm, lanes=1)), whole(read(data, MONO, lm, lanes=8)))


def test_bitrate_may_change_from_chunk_to_chunk() -> None:
    lm = cached_model()
    pieces = [random_codes(MONO, n_q, 320 * 100, n_q) for n_q in (2, 8, 4)]
    items = read(written(MONO, pieces, lm), MONO, lm)
    for start, codes in items:  # type: ignore[misc]
        piece = pieces[start // 32_000]
        first = start % 32_000 // 320
        np.testing.assert_array_equal(codes.values, piece.values[:, first : first + codes.frames])
    assert {codes.n_q for _, codes in items} == {2, 4, 8}  # type: ignore[misc]


def test_a_chunk_that_the_model_would_make_bigger_is_packed() -> None:
    lm = cached_model()
    noise = Codes(np.random.default_rng(0).integers(0, 1024, (8, 75), np.int16), 24_000)
    header, stream, _ = probe(io.BytesIO(written(MONO, [noise], lm)))
    (chunk,) = ChunkReader(stream, header)  # type: ignore[arg-type]
    assert isinstance(chunk, version1.Chunk) and chunk.coding == version1.PACKED


@cache
def sample_file() -> tuple[bytes, Codes]:
    codes = random_codes(MONO, 4, 320 * 250 + 17)
    return written(MONO, [codes], None, 0.8), codes


def kept(items: list[tuple[int, Codes] | Damage], codes: Codes) -> int:
    """Frames that came through; all of them must be right and in place."""
    frames = 0
    for item in items:
        if not isinstance(item, Damage):
            start, part = item
            assert start % 320 == 0
            first = start // 320
            np.testing.assert_array_equal(part.values, codes.values[:, first : first + part.frames])
            frames += part.frames
    return frames


def test_every_single_byte_corruption_is_reported_and_costs_at_most_a_chunk() -> None:
    data, codes = sample_file()
    random = np.random.default_rng(0)
    for place in range(len(data)):
        flipped = bytearray(data)
        flipped[place] ^= int(random.integers(1, 256))
        _, _, mended = probe(io.BytesIO(bytes(flipped)))
        items = read(bytes(flipped), MONO)
        assert mended or any(isinstance(item, Damage) for item in items)
        assert kept(items, codes) >= codes.frames - 60


def test_every_truncation_plays_up_to_the_cut_and_is_reported() -> None:
    data, codes = sample_file()
    header_size = len(header_of(MONO).to_bytes())
    index = find_index(io.BytesIO(data))
    assert index
    for cut in range(0, len(data), 3):
        if cut < header_size:
            with pytest.raises(FormatError):
                read(data[:cut], MONO)
            continue
        items = read(data[:cut], MONO)
        assert any(isinstance(item, Damage) for item in items)
        complete = sum(
            offset + size <= cut for (offset, _), size in zip(index.places, index.sizes, strict=True)
        )
        assert kept(items, codes) >= min(codes.frames, 60 * complete)


def test_a_lost_chunk_is_named_with_its_time() -> None:
    data, _ = sample_file()
    index = find_index(io.BytesIO(data))
    assert index
    offset, start = index.places[2]
    damaged = data[: offset + 40] + b"\0\0\0\0" + data[offset + 44 :]
    (damage,) = [item for item in read(damaged, MONO) if isinstance(item, Damage)]
    assert (damage.start, damage.samples) == (start, index.samples[2])
    missing = data[:offset] + data[offset + index.sizes[2] :]
    (damage,) = [item for item in read(missing, MONO) if isinstance(item, Damage)]
    assert (damage.start, damage.samples) == (start, index.samples[2])


@given(st.binary(max_size=400), st.integers(0, 3000))
@settings(max_examples=150)
def test_any_bytes_are_codes_damage_or_a_sentence(junk: bytes, place: int) -> None:
    data = sample_file()[0]
    for attempt in (junk, b"ECDC\x01" + junk, data[:place] + junk + data[place + len(junk) :]):
        try:
            header, stream, _ = probe(io.BytesIO(attempt))
            if isinstance(header, version1.Header):
                list(decoded(iter(ChunkReader(stream, header)), MONO))
            find_index(io.BytesIO(attempt))
        except FormatError as error:
            assert str(error)


def forged(payload: bytes, coding: int, frames: int = 20, n_q: int = 4) -> bytes:
    chunk = version1.Chunk(0, frames, frames * 320, n_q, coding, payload)
    data = chunk.to_bytes(320)
    head = header_of(MONO).to_bytes()
    return head + data + Index(len(head), (len(data),), (frames * 320,)).to_bytes()


@given(st.binary(max_size=120), st.integers(0, 1))
@settings(max_examples=60)
def test_forged_payloads_with_good_checksums(payload: bytes, coding: int) -> None:
    items = read(forged(payload, coding), MONO, cached_model())
    assert len(items) == 1 and (isinstance(items[0], Damage) or items[0][1].frames == 20)


def test_more_frames_or_books_than_the_model_has() -> None:
    assert isinstance(read(forged(b"abc", 1, frames=97), MONO, cached_model())[0], Damage)
    with pytest.raises(FormatError, match="codebooks"):
        read(forged(b"abc", 1, n_q=9), MONO, cached_model())
    with pytest.raises(FormatError, match="language model"):
        read(forged(b"abc", 1), MONO)


def test_seeking_reads_two_places_of_a_ten_hour_file() -> None:
    chunks = 7200
    head = header_of(MONO).to_bytes()
    chunk = version1.Chunk(0, 375, 120_000, 8, 0, bytes(3750)).to_bytes(320)
    index = Index(len(head), (len(chunk),) * chunks, (120_000,) * chunks)
    target = 36_000 * 24_000 * 3 // 4
    number = index.chunk_at(target)
    offset, start = index.places[number]
    assert start <= target < start + 120_000

    class CountingFile(io.BytesIO):
        count = 0

        def read(self, size: int | None = -1) -> bytes:
            data = super().read(size)
            CountingFile.count += len(data)
            return data

    wanted = version1.Chunk(start, 375, 120_000, 8, 0, bytes(3750))
    body = bytearray(head) + bytes(len(chunk) * chunks)
    body[offset : offset + len(chunk)] = wanted.to_bytes(320)
    file = CountingFile(bytes(body) + index.to_bytes())
    found = find_index(file)
    assert found == index
    assert read_chunk_at(file, index, number, header_of(MONO)) == wanted
    assert CountingFile.count < 64_000


@given(st.lists(st.integers(0, 2**62), max_size=30))
def test_numbers_of_the_index(numbers: list[int]) -> None:
    assert read_numbers(b"".join(map(variable_length, numbers))) == numbers


def test_index_round_trip() -> None:
    index = Index(99, (10, 2000, 30), (5, 6, 700_000))
    data = index.to_bytes()
    tail = version1.INDEX_TAIL.size
    assert parse_index(data[:-tail], data[-tail:], sum(index.sizes)) == index
    assert index.places == [(99, 0), (109, 5), (2109, 11)]
    assert [index.chunk_at(s) for s in (0, 4, 5, 10, 11, 10**9)] == [0, 0, 1, 1, 2, 2]


def test_header_keeps_everything() -> None:
    header = version1.Header("24khz", "00" * 8, 24_000, 1, 320, "11" * 8, 44_100, {"title": "Mañana"})
    assert probe(io.BytesIO(header.to_bytes()))[0] == header


def test_overhead_at_six_kbps_with_savings_of_a_quarter() -> None:
    minutes, payload = 5, int(6000 / 8 * 5 * 0.75)
    head = header_of(MONO, cached_model()).to_bytes()
    chunk = len(version1.Chunk(0, 375, 120_000, 8, 1, bytes(payload)).to_bytes(320))
    count = minutes * 12
    index = Index(len(head), (chunk,) * count, (120_000,) * count).to_bytes()
    total = len(head) + chunk * count + len(index)
    assert total / (payload * count) < 1.015


def test_memory_stays_with_the_data() -> None:
    """A stream that claims chunks and indexes of the largest size, but gives one byte at a time."""

    def drip() -> Iterator[bytes]:
        yield from (bytes([b]) for b in header_of(MONO).to_bytes())
        yield from (bytes([b]) for b in version1.INDEX_SYNC + b"\x03\xff\xff\xff" + bytes(2000))

    class Dripping:
        def __init__(self) -> None:
            self._bytes = drip()

        def read(self, size: int, /) -> bytes:
            return next(self._bytes, b"")

    header, stream, _ = probe(Dripping())
    tracemalloc.start()
    items = list(ChunkReader(stream, header))  # type: ignore[arg-type]
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    assert len(items) == 1 and isinstance(items[0], Damage)


@pytest.mark.parametrize("tags", [{"track": 3}, {"title": "x" * (1 << 20)}, {"title": "\udcff"}])
def test_tags_that_no_reader_would_take_are_not_written(tags: dict[str, str]) -> None:
    header = version1.Header("a", "0" * 16, 24_000, 1, 320, tags=tags)
    with pytest.raises(ConfigError, match="tags"):
        header.to_bytes()


def test_a_chunk_may_begin_days_after_the_start() -> None:
    chunk = version1.Chunk(5 << 32 | 7, 2, 640, 1, version1.PACKED, b"abc")
    assert version1.parse_chunk(chunk.to_bytes(320), 320) == chunk


@pytest.mark.parametrize(
    "change", [{"start": 1 << 48}, {"frames": 1 << 16}, {"samples": 1}, {"payload": bytes(1 << 16)}]
)
def test_a_chunk_beyond_the_format_is_refused(change: dict) -> None:
    values = {"start": 0, "frames": 300, "samples": 96_000, "n_q": 1, "coding": 0, "payload": b""}
    with pytest.raises(FormatError, match="too big"):
        version1.Chunk(**{**values, **change}).to_bytes(320)


@pytest.mark.parametrize("numbers", [b"\x05\x80", b"\x05\x01", b"\x05\x01" + b"\xff" * 9 + b"\x01"])
def test_an_index_of_good_checksum_that_makes_no_sense(numbers: bytes) -> None:
    """A number that is cut, one number too few, and one beyond 63 bits."""
    body = version1.INDEX_HEAD.pack(version1.INDEX_SYNC, len(numbers)) + numbers
    size = len(body) + version1.INDEX_TAIL.size
    with pytest.raises(FormatError, match="makes no sense"):
        parse_index(body, version1.INDEX_TAIL.pack(zlib.crc32(body), size, version1.INDEX_END), 1 << 20)


def test_a_chunk_that_comes_twice_is_played_once() -> None:
    data, codes = sample_file()
    index = find_index(io.BytesIO(data))
    assert index
    offset, size = index.places[1][0], index.sizes[1]
    items = read(data[: offset + size] + data[offset:], MONO)
    assert any(isinstance(item, Damage) for item in items)
    assert kept(items, codes) == codes.frames


def test_a_chunk_whose_frames_do_not_fit_its_samples() -> None:
    chunk = version1.Chunk(0, 20, 19 * 320, 4, version1.PACKED, bytes(100)).to_bytes(320)
    head = header_of(MONO).to_bytes()
    (item,) = read(head + chunk + Index(len(head), (len(chunk),), (19 * 320,)).to_bytes(), MONO)
    assert isinstance(item, Damage)


@pytest.mark.parametrize("volume", [np.nan, np.inf, 1e38, -1.0])
def test_a_volume_that_cannot_be(volume: float) -> None:
    codes = random_codes(STEREO, 2, 40_000)
    assert codes.scales is not None
    codes.scales[0] = volume
    (item,) = read(written(STEREO, [codes]), STEREO)
    assert isinstance(item, Damage)


def test_a_chunk_that_is_elsewhere_than_the_index_says() -> None:
    chunk = version1.Chunk(320, 1, 320, 8, 0, bytes(10)).to_bytes(320)
    index = Index(0, (len(chunk),), (320,))
    item = read_chunk_at(io.BytesIO(chunk), index, 0, header_of(MONO))
    assert item == Damage(0, 320, "data that does not match its checksum")


@pytest.mark.parametrize("samples", [319, 1 << 62])
def test_a_chunk_that_covers_other_samples_than_the_index_says(samples: int) -> None:
    chunk = version1.Chunk(0, 1, 320, 4, version1.PACKED, bytes(5)).to_bytes(320)
    index = Index(0, (len(chunk),), (samples,))
    item = read_chunk_at(io.BytesIO(chunk), index, 0, header_of(MONO))
    assert isinstance(item, Damage) and item.samples == samples


@pytest.mark.parametrize("junk", [1, 38, 39, 40, 79])
def test_the_next_chunk_is_found_wherever_it_begins(junk: int) -> None:
    """Even where its two sync bytes are read in two pieces."""
    data, codes = sample_file()
    first = len(header_of(MONO).to_bytes())
    assert kept(read(data[:first] + bytes(junk) + data[first:], MONO), codes) == codes.frames


def test_a_last_chunk_that_is_missing_is_told_by_the_index() -> None:
    data, _ = sample_file()
    index = find_index(io.BytesIO(data))
    assert index
    offset, start = index.places[-1]
    (damage,) = [
        item
        for item in read(data[:offset] + data[offset + index.sizes[-1] :], MONO)
        if isinstance(item, Damage)
    ]
    assert (damage.start, damage.samples) == (start, index.samples[-1])


def test_a_later_version_and_a_boundless_header_are_a_sentence() -> None:
    with pytest.raises(FormatError, match="version 2, which is newer"):
        probe(io.BytesIO(b"ECDC\x02" + bytes(40)))
    for version, size in ((0, 1 << 17), (1, 1 << 21)):
        with pytest.raises(FormatError, match="too long"):
            probe(io.BytesIO(version1.PREFIX.pack(b"ECDC", version, size) + bytes(40)))


@pytest.mark.parametrize(
    "change", [{"sample_rate": 0}, {"hop_length": 0}, {"channels": 0}, {"sample_rate": 1 << 31}]
)
def test_a_header_of_good_checksum_that_makes_no_sense(change: dict) -> None:
    values = {"model": "a", "weights": "0" * 16, "sample_rate": 24_000, "channels": 1, "hop_length": 320}
    with pytest.raises(FormatError, match="makes no sense"):
        probe(io.BytesIO(version1.Header(**{**values, **change}).to_bytes()))


def file_of(*chunks: version1.Chunk, junk: bytes = b"") -> bytes:
    data = [chunk.to_bytes(320) for chunk in chunks]
    head = header_of(MONO).to_bytes()
    index = Index(len(head), tuple(map(len, data)), tuple(chunk.samples for chunk in chunks))
    return b"".join([head, *data, junk, index.to_bytes()])


def items_of(data: bytes) -> list[version1.Chunk | Damage]:
    found, stream, _ = probe(io.BytesIO(data))
    assert isinstance(found, version1.Header)
    return list(ChunkReader(stream, found))


CHUNK = version1.Chunk(0, 20, 6400, 4, version1.PACKED, bytes(100))


def test_an_index_that_would_begin_before_the_file() -> None:
    assert find_index(io.BytesIO(bytes(5))) is None
    tail = version1.INDEX_TAIL.pack(0, 100, version1.INDEX_END)
    with pytest.raises(FormatError, match="makes no sense"):
        find_index(io.BytesIO(bytes(50) + tail))


def test_junk_between_the_last_chunk_and_the_index_is_told() -> None:
    chunk, damage = items_of(file_of(CHUNK, junk=bytes(60)))
    assert chunk == CHUNK and isinstance(damage, Damage) and not damage.samples


def test_a_chunk_of_more_books_than_the_language_model() -> None:
    chunk = replace(CHUNK, n_q=5, coding=version1.LANGUAGE_MODEL)
    (item,) = decoded(iter([chunk]), MONO, small_model(4))
    assert isinstance(item, Damage)


@pytest.mark.parametrize(
    "change", [{"n_q": 0}, {"coding": 2}, {"frames": 0, "samples": 0}, {"samples": 0}, {"samples": -5}]
)
def test_a_chunk_of_good_checksum_that_makes_no_sense(change: dict[str, int]) -> None:
    assert version1.parse_chunk(replace(CHUNK, **change).to_bytes(320), 320) is None


def test_a_file_without_codes_is_whole() -> None:
    out = io.BytesIO()
    FileWriter(out, MONO, header_of(MONO)).finish()
    assert items_of(out.getvalue()) == []


@pytest.mark.parametrize(
    "data", [b"\xec\xc1" * 50_000, version1.INDEX_HEAD.pack(version1.INDEX_SYNC, 150_000) * 50_000]
)
def test_what_looks_like_chunks_everywhere_is_read_in_one_pass(data: bytes) -> None:
    """The square of its length would take minutes."""
    (item,) = ChunkReader(io.BytesIO(data), header_of(MONO))
    assert isinstance(item, Damage)


@pytest.mark.parametrize("size", [1 << 20, 1 << 40, 1 << 62])
def test_an_index_of_impossible_sizes(size: int) -> None:
    index = Index(10, (size, 10), (320, 320))
    for number in (0, 1):
        assert isinstance(read_chunk_at(io.BytesIO(bytes(200)), index, number, header_of(MONO)), Damage)


def test_an_index_of_no_chunks_has_no_places() -> None:
    assert Index(5, (), ()).places == []


def test_half_a_surrogate_pair_is_no_text() -> None:
    header = replace(header_of(MONO), tags={"title": "------"}).to_bytes()
    head = header[: -version1.CRC.size].replace(b"------", rb"\ud800")
    with pytest.raises(FormatError, match="cannot be read"):
        probe(io.BytesIO(head + version1.CRC.pack(zlib.crc32(head))))


def test_a_chunk_of_too_many_codebooks_is_refused() -> None:
    with pytest.raises(FormatError, match="too big"):
        replace(CHUNK, n_q=256).to_bytes(320)


def test_a_segment_longer_than_the_language_model_is_packed() -> None:
    lm, codes = small_model(2, max_frames=96), random_codes(STEREO, 2, 60_000)
    assert_same(whole(read(written(STEREO, [codes], lm), STEREO, lm)), codes)


def test_an_index_of_more_chunks_than_the_file_could_hold_takes_no_memory() -> None:
    numbers = b"\x01" * (8 << 20)
    body = version1.INDEX_HEAD.pack(version1.INDEX_SYNC, len(numbers)) + numbers
    size = len(body) + version1.INDEX_TAIL.size
    data = body + version1.INDEX_TAIL.pack(zlib.crc32(body), size, version1.INDEX_END)
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match="makes no sense"):
            find_index(io.BytesIO(data))
        assert tracemalloc.get_traced_memory()[1] < 6 * len(data)
    finally:
        tracemalloc.stop()
