"""An .ecdc file of any version as a recording: its audio in blocks, from any time on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np

from sonant.audio import Audio
from sonant.codec import Codec
from sonant.codes import Codes
from sonant.container import version0, version1
from sonant.container.decoding import LANES, decoded
from sonant.container.index import Index, find_index
from sonant.container.opening import open_path
from sonant.container.probe import AnyHeader, probe
from sonant.container.reader import ChunkReader, Damage, read_chunk_at
from sonant.container.streams import Reader, Rewindable, reading
from sonant.container.version1 import Chunk
from sonant.entropy.integer_lm import IntegerLanguageModel
from sonant.errors import ConfigError, FormatError, WeightsError
from sonant.language_models import language_model, official_language_model
from sonant.loading import load, load_named
from sonant.origin import check_model
from sonant.playback import Player
from sonant.stretches import Stretches

LONGEST_SECONDS = 1e12
LEAD_IN_SECONDS = 0.25
"""Of a model without segments; with them a whole one, which the part overlaps, is decoded before it."""

Piece = tuple[int, Codes] | Damage


class Recording:
    """An .ecdc file that is open: plays from the start, from any time, or part by part.

    Iterators of `blocks`, and `read`, do not disturb each other if the file can seek.

    Args:
        file: in binary; it must be able to seek for anything but playing from the start.
        model: a codec, or what `sonant.load` takes; by default what the file names.
        loader: what loads the model that the file names; by default only bundled and official ones.
        strict: damage is an error.

    Attributes:
        header: what the file says of itself.
        codec: that decodes it.
        damages: what is damaged and when, as far as it was read; a sentence each, once.

    Raises:
        FormatError: if it is no .ecdc file, or cannot be read.
        WeightsError: if its model cannot be found, or has other weights.
    """

    def __init__(
        self,
        file: BinaryIO,
        model: str | Path | Codec | None = None,
        *,
        loader: Callable[[str | Path], Codec] = load_named,
        strict: bool = False,
    ) -> None:
        self._file, self._strict = file, strict
        self.damages: list[str] = []
        self._lost = Stretches()
        self.header: AnyHeader
        self._stream: Rewindable | None
        with reading():
            self._start = file.tell() if file.seekable() else 0
            self.header, self._stream, mended = probe(self._reader())
        if isinstance(model, Codec):
            self.codec = model
        else:
            self.codec = load(model) if model else loader(self.header.model)
        check_model(self.header, self.codec)
        if mended:
            self._report(Damage(0, 0, "the header was damaged and could be mended"))
        self._index: Index | None = None
        if isinstance(self.header, version1.Header) and file.seekable():
            self._index = self._find_index()
        self._position = 0
        self._blocks: Iterator[Audio] | None = None
        self._left = np.zeros((self.codec.config.channels, 0), np.float32)

    def _find_index(self) -> Index | None:
        try:
            with reading():
                index = find_index(self._file)
        except FormatError:
            return None
        return index and replace(index, first=self._start + index.first)

    def _reader(self) -> Reader:
        return _Place(self._file, self._start) if self._file.seekable() else self._file

    @property
    def sample_rate(self) -> int:
        """Of the audio, in Hz."""
        return self.codec.config.sample_rate

    @property
    def original_rate(self) -> int | None:
        """Of the audio that was encoded, in Hz; None where the file does not say."""
        return self.header.source_rate if isinstance(self.header, version1.Header) else None

    @property
    def channels(self) -> int:
        """Of the audio."""
        return self.codec.config.channels

    @property
    def length(self) -> int | None:
        """Samples of the whole, None where only reading to the end would tell."""
        if isinstance(self.header, version0.Header):
            return self.header.length
        return self._index.length if self._index else None

    def blocks(self, start: float = 0.0, duration: float | None = None) -> Iterator[Audio]:
        """The audio from `start` seconds on, `[channels, samples]` at a time.

        Damage is filled with a fade into silence and told in `damages`.

        Raises:
            ConfigError: if `start` or `duration` is negative, no number or above 10^12.
            FormatError: if the file is damaged beyond that, or at all with `strict`, or cannot be read.
        """
        check_part(start, duration)
        first = round(start * self.sample_rate)
        stop = None if duration is None else first + round(duration * self.sample_rate)
        yield from self._part(first, stop, whole=first == 0 and stop is None)

    def _part(self, first: int, stop: int | None, *, whole: bool) -> Iterator[Audio]:
        with reading():
            origin, pieces = self._pieces(first, whole=whole)
            position = origin
            for audio in self._play(pieces, origin):
                begin, end = position, position + audio.shape[1]
                position = end
                wanted = audio[:, max(0, first - begin) : None if stop is None else max(0, stop - begin)]
                if wanted.shape[1]:
                    yield wanted
                if stop is not None and end >= stop:
                    return

    def seek(self, seconds: float) -> None:
        """Go to a time; the next `read` begins there.

        Raises:
            ConfigError: if `seconds` is negative, no number or above 10^12.
        """
        check_part(seconds, None)
        self._position = round(seconds * self.sample_rate)
        self._blocks = None

    def codes(self) -> Iterator[Codes]:
        """The codes from the start, a chunk at a time or less.

        Each follows the last without a gap. With an average bitrate they differ in the number of codebooks;
        those of joined files are of several recordings, and can only be decoded one by one.

        Raises:
            FormatError: if the file is damaged, since codes cannot fade, or cannot be read.
        """
        with reading():
            for piece in self._pieces(0, whole=True)[1]:
                if isinstance(piece, Damage):
                    raise FormatError(f"is damaged: {piece.reason}")
                yield piece[1]

    def read(self, seconds: float) -> Audio:
        """The next `seconds` of audio `[channels, samples]`, less at the end.

        Raises:
            ConfigError: if `seconds` is negative, no number or above 10^12.
            FormatError: as `blocks`; what was read before the error can be read again.
        """
        check_part(0.0, seconds)
        if self._blocks is None:
            self._blocks = self._part(self._position, None, whole=False)
            self._left = self._left[:, :0]
        wanted = round(seconds * self.sample_rate)
        parts, have = [self._left], self._left.shape[1]
        try:
            while have < wanted and (block := next(self._blocks, None)) is not None:
                parts.append(block)
                have += block.shape[1]
        except BaseException:
            self._blocks = None
            raise
        self._left = np.concatenate(parts, axis=1)
        part, self._left = self._left[:, :wanted], self._left[:, wanted:]
        self._position += part.shape[1]
        return part

    def close(self) -> None:
        """Close the file."""
        self._blocks = None
        self._file.close()

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _pieces(self, first: int, *, whole: bool) -> tuple[int, Iterable[Piece]]:
        """The sample that a chunk with `first` begins at, and the codes from there on.

        Only where the `whole` is wanted are many chunks decoded together from the start.
        """
        header = self.header
        if isinstance(header, version0.Header):
            stream = self._rewound()
            lm = official_language_model(self.codec) if header.lm else None
            return 0, _timed(version0.read_blocks(stream, header, self.codec.config, lm))
        lm_needed = self._language_model(header)
        if first and self._index and self._index.sizes:
            lead_in = self.codec.config.segment or LEAD_IN_SECONDS
            early = max(0, first - round(lead_in * self.sample_rate))
            number = self._index.chunk_at(early)
            chunks = self._chunks_from(number, self._index, header)
            return self._index.places[number][1], decoded(chunks, self.codec.config, lm_needed, first=1)
        chunks = iter(ChunkReader(self._rewound(), header))
        lanes = LANES if self._file.seekable() else 1
        return 0, decoded(chunks, self.codec.config, lm_needed, lanes, LANES if whole else 1)

    def _chunks_from(self, number: int, index: Index, header: version1.Header) -> Iterator[Chunk | Damage]:
        for chunk in range(number, len(index.sizes)):
            yield read_chunk_at(self._file, index, chunk, header)

    def _rewound(self) -> Rewindable:
        """The stream after the header: the one it was read from, once; after that by seeking."""
        stream, self._stream = self._stream, None
        if stream is not None:
            return stream
        if not self._file.seekable():
            raise FormatError("cannot be read again: it is a pipe")
        return probe(_Place(self._file, self._start))[1]

    def _language_model(self, header: version1.Header) -> IntegerLanguageModel | None:
        if header.lm is None:
            return None
        lm = language_model(self.codec)
        if lm is None or not lm.digest.startswith(header.lm):
            raise WeightsError(
                f"was coded with a language model ({header.lm}) that {self.codec.name} does not have here"
            )
        return lm

    def _report(self, damage: Damage) -> None:
        start, stop = damage.start, damage.start + damage.samples
        begin, end = start / self.sample_rate, stop / self.sample_rate
        if damage.samples:
            text = f"lost from {begin:.2f} s to {end:.2f} s: {damage.reason}"
        else:
            text = f"damaged at {begin:.2f} s: {damage.reason}"
        if self._strict:
            raise FormatError(text)
        if self._lost.add(start, stop) if damage.samples else text not in self.damages:
            self.damages.append(text)

    def _play(self, pieces: Iterable[Piece], origin: int) -> Iterator[Audio]:
        """Decode in order; every block follows the last without a gap."""
        player = Player(self.codec, origin)
        for piece in pieces:
            if isinstance(piece, Damage):
                self._report(piece)
                yield from player.conceal(piece)
            else:
                yield from player.play(*piece)
        yield from player.stop()


class _Place:
    """Reads a file from a place of its own, whoever else moves in it."""

    def __init__(self, file: BinaryIO, position: int) -> None:
        self._file, self._position = file, position

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes."""
        self._file.seek(self._position)
        data = self._file.read(size)
        self._position += len(data)
        return data


def _timed(blocks: Iterable[Codes]) -> Iterator[tuple[int, Codes]]:
    start = 0
    for codes in blocks:
        yield start, codes
        start += codes.length


def check_part(start: float, duration: float | None) -> None:
    """Raise ConfigError unless a part can begin at `start` and last `duration`, in seconds."""
    for what, seconds in (("begins at", start), ("lasts", duration or 0.0)):
        if not 0 <= seconds <= LONGEST_SECONDS:
            raise ConfigError(f"a part {what} 0 to {LONGEST_SECONDS:g} s, not {seconds}")


def open(
    source: str | Path | BinaryIO, model: str | Path | Codec | None = None, *, strict: bool = False
) -> Recording:
    """Open an .ecdc file to read its audio by time, or its codes.

    Args:
        source: its path, or the file itself, open in binary, which the recording then closes.
        model: the codec that made it; by default the one that it names.
        strict: damage is an error.

    Raises:
        SonantError: one sentence on what is wrong.
    """
    if not isinstance(source, str | Path):
        return Recording(source, model, strict=strict)
    file = open_path(source)
    try:
        return Recording(file, model, strict=strict)
    except BaseException as error:
        file.close()
        if isinstance(error, FormatError | WeightsError):
            raise type(error)(f"{source}: {error}") from None
        raise
