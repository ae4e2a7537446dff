"""Version 1 files end to end, without decoding: chunks stand alone, so only their times change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from sonant.container.index import Index
from sonant.container.probe import probe
from sonant.container.reader import ChunkReader, Damage
from sonant.container.streams import Reader, Writer, reading
from sonant.container.version1 import Chunk, Header
from sonant.errors import FormatError


def concatenate(sources: Iterable[tuple[str, Reader]], target: Writer) -> int:
    """Write the recordings of `sources`, named streams, as one file; returns its samples.

    The header is that of the first, tags included; the others must be of the same model, weights and
    language model. Nothing is held but a chunk and the index.

    Raises:
        FormatError: if a source is damaged, of version 0, or made by another model.
    """
    first: Header | None = None
    start, sizes, samples, begin = 0, list[int](), list[int](), 0
    for name, source in sources:
        with _reading(name):
            header, stream, mended = probe(source)
        if not isinstance(header, Header):
            raise FormatError(f"{name}: is of version 0, which cannot be joined; encode it again")
        if first is None:
            first, head = header, header.to_bytes()
            begin = len(head)
            target.write(head)
        elif _coded_by(header) != _coded_by(first):
            alike = replace(header, lm=first.lm)
            other = "language model" if _coded_by(alike) == _coded_by(first) else "model"
            raise FormatError(f"{name}: was made with another {other} than the first file")
        for item in _chunks(name, stream, header):
            if isinstance(item, Damage) or mended:
                raise FormatError(f"{name}: is damaged and cannot be joined to others")
            written = replace(item, start=start).to_bytes(first.hop_length)
            target.write(written)
            start += item.samples
            sizes.append(len(written))
            samples.append(item.samples)
    if first is None:
        raise FormatError("there are no files to join")
    target.write(Index(begin, tuple(sizes), tuple(samples)).to_bytes())
    return start


def _chunks(name: str, stream: Reader, header: Header) -> Iterator[Chunk | Damage]:
    """Errors of reading are told from those of writing."""
    with _reading(name):
        yield from ChunkReader(stream, header)


@contextmanager
def _reading(name: str) -> Iterator[None]:
    try:
        with reading():
            yield
    except FormatError as error:
        raise FormatError(f"{name}: {error}") from None


def _coded_by(header: Header) -> Header:
    """A header without what may differ between files that are joined."""
    return replace(header, source_rate=None, tags={})
