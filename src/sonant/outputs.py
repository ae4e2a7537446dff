"""Where results go: a file that is checked first and written whole or not at all, or a pipe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from sonant.audio import AUDIO_ENDINGS, FileSink, PipeSink, Sink
from sonant.errors import ConfigError, SonantError
from sonant.standard_streams import PIPE, standard_output
from sonant.whole_files import replacing_output


def check_target(source: str | Path | None, target: str | Path, overwrite: bool) -> None:
    """See that `target` can be made, from `source` if that is a file.

    Raises:
        SonantError: if it is there already, is the input, or cannot be.
    """
    if str(target) == PIPE:
        return
    try:
        _check_path(
            None if source is None or str(source) == PIPE else Path(source), Path(target), overwrite
        )
    except OSError as error:
        raise SonantError(f"{target}: cannot be written ({error.strerror or error})") from None


def _check_path(source: Path | None, target: Path, overwrite: bool) -> None:
    if target.is_dir():
        raise SonantError(f"{target}: is a directory; name a file")
    if not target.parent.exists():
        raise SonantError(f"{target}: cannot be written; there is no folder {target.parent}")
    if not target.exists():
        return
    if not target.is_file():
        raise SonantError(f"{target}: is a pipe or a device; use - for standard output and redirect that")
    if not overwrite:
        raise SonantError(f"{target}: exists; use -f to overwrite it, in Python overwrite=True")
    if source is not None and source.exists() and target.samefile(source):
        raise SonantError(f"{target}: is the input; choose another name for the output")


def check_new_folder(folder: Path) -> None:
    """See that nothing in a folder would be replaced, or be taken for what comes into it.

    Raises:
        ConfigError: if it holds something, or is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: is a file; name a new folder")
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder}: is not empty; name a new folder")


@contextmanager
def ecdc_output(target: str | Path | BinaryIO) -> Iterator[BinaryIO]:
    """A new .ecdc file, standard output, or what takes bytes already, as it is.

    Raises:
        ConfigError: if the file has the name of audio.
        SonantError: if it cannot be written.
    """
    if not isinstance(target, str | Path):
        yield target
        return
    if str(target) == PIPE:
        output = standard_output()
        yield output
        output.flush()
        return
    if Path(target).suffix.lower() in AUDIO_ENDINGS:
        raise ConfigError(f"{target}: is the name of audio; what is written is .ecdc")
    with replacing_output(Path(target)) as temporary, open(temporary, "wb") as file:
        yield file


@contextmanager
def audio_output(
    target: str | Path, rate: int, channels: int, samples: int | None, comment: str = ""
) -> Iterator[Sink]:
    """A file for audio, of the kind that its name ends in, with a comment, or WAV on standard output."""
    if str(target) == PIPE:
        yield PipeSink(standard_output(), rate, channels, samples)
        return
    with replacing_output(Path(target)) as temporary:
        sink = FileSink(temporary, Path(target), rate, channels, comment)
        try:
            yield sink
        finally:
            sink.close()
