"""Whole files and pipes: audio to .ecdc and back, written under a temporary name until done."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from sonant.audio import (
    Audio,
    FileSink,
    PipeSink,
    Sink,
    WavPipeSource,
    check_ending,
    model_blocks,
    open_source,
)
from sonant.codec import Codec
from sonant.codes import Codes, join
from sonant.container import version0
from sonant.errors import AudioError, FormatError, SonantError
from sonant.loading import DEFAULT_MODEL, load

PIPE = "-"

Progress = Callable[[float], None]


def compress(
    source: str | Path,
    target: str | Path,
    *,
    model: str | Path | Codec = DEFAULT_MODEL,
    bitrate: float = 6.0,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> None:
    """Encode an audio file into an .ecdc file.

    Args:
        source: wav, flac, ogg, opus, mp3, …, or `-` for WAV on standard input.
        target: the .ecdc file, or `-` for standard output.
        model: a name, path or hub id as for `sonant.load`, or a loaded codec.
        bitrate: kbit/s, one of the model's.
        overwrite: replace an existing target.
        progress: called with the seconds of audio coded so far.

    Raises:
        SonantError: one sentence on what is wrong with which file.
    """
    codec = model if isinstance(model, Codec) else load(model)
    stream = codec.encoder(bitrate)
    _check_target(source, target, overwrite)
    audio = WavPipeSource(sys.stdin.buffer) if str(source) == PIPE else open_source(Path(source))
    config = codec.config
    pieces: list[Codes] = []
    done = 0
    for block in model_blocks(audio, str(source), config.sample_rate, config.channels):
        pieces.append(stream.push(block))
        done += block.shape[1]
        if progress:
            progress(done / config.sample_rate)
    pieces.append(stream.finish())
    if not done:
        raise AudioError(f"{source}: holds no samples")
    with _output(target) as file:
        version0.write(file, config, join(pieces), config.name)


def decompress(
    source: str | Path,
    target: str | Path,
    *,
    model: str | Path | Codec | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> None:
    """Decode an .ecdc file into an audio file.

    Args:
        source: the .ecdc file, or `-` for standard input.
        target: wav, flac or ogg by its ending, or `-` for WAV on standard output.
        model: the model that made the file; by default the one that the file names.
        overwrite, progress: as for `compress`.

    Raises:
        SonantError: one sentence on what is wrong with which file.
    """
    if str(target) != PIPE:
        check_ending(Path(target))
    _check_target(source, target, overwrite)
    with open_ecdc(source) as file:
        try:
            header = version0.read_header(file)
            codec = model if isinstance(model, Codec) else load(model or header.model)
            if codec.name != header.model:
                raise FormatError(f"was made with {header.model}, not with {codec.name}; give that with -m")
            with _audio_output(target, codec, header.length) as sink:
                written = 0
                for audio in _decoded(version0.read_blocks(file, header, codec.config), codec):
                    part = audio[:, : header.length - written]
                    sink.write(part)
                    written += part.shape[1]
                    if progress:
                        progress(written / codec.config.sample_rate)
        except FormatError as error:
            raise FormatError(f"{source}: {error}") from None


def _decoded(pieces: Iterator[Codes], codec: Codec) -> Iterator[Audio]:
    stream = codec.decoder()
    for piece in pieces:
        yield stream.push(piece)
    yield stream.finish()


@contextmanager
def open_ecdc(source: str | Path) -> Iterator[BinaryIO]:
    """An .ecdc file or standard input, for reading.

    Raises:
        FormatError: if it cannot be opened.
    """
    if str(source) == PIPE:
        yield sys.stdin.buffer
        return
    try:
        file = Path(source).open("rb")  # noqa: SIM115 - closed by the with below
    except IsADirectoryError:
        raise FormatError(f"{source}: is a directory; name the .ecdc files in it") from None
    except OSError as error:
        raise FormatError(f"{source}: cannot be read ({error.strerror})") from None
    with file:
        yield file


def _check_target(source: str | Path, target: str | Path, overwrite: bool) -> None:
    if str(target) == PIPE:
        return
    path = Path(target)
    if path.is_dir():
        raise SonantError(f"{target}: is a directory; name a file")
    if path.exists() and not overwrite:
        raise SonantError(f"{target}: exists; use -f to overwrite it")
    if path.exists() and str(source) != PIPE and Path(source).exists() and path.samefile(source):
        raise SonantError(f"{target}: is the input; choose another name for the output")


@contextmanager
def _temporary(target: Path) -> Iterator[Path]:
    """A name beside the target that becomes the target if all goes well, and else disappears."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        yield temporary
        os.replace(temporary, target)
    except OSError as error:
        raise SonantError(f"{target}: cannot be written ({error.strerror or error})") from None
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _output(target: str | Path) -> Iterator[BinaryIO]:
    if str(target) == PIPE:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with _temporary(Path(target)) as temporary, open(temporary, "wb") as file:
        yield file


@contextmanager
def _audio_output(target: str | Path, codec: Codec, samples: int) -> Iterator[Sink]:
    rate, channels = codec.config.sample_rate, codec.config.channels
    if str(target) == PIPE:
        yield PipeSink(sys.stdout.buffer, rate, channels, samples)
        return
    with _temporary(Path(target)) as temporary:
        sink = FileSink(temporary, Path(target), rate, channels)
        try:
            yield sink
        finally:
            sink.close()
