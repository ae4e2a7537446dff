"""Whole files and pipes: audio to .ecdc and back, written under a temporary name until done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from numbers import Integral
from pathlib import Path
from typing import BinaryIO, Literal

from sonant.audio import WavPipeSource, check_ending, model_blocks, open_source, resampled
from sonant.code_choice import code_choice
from sonant.codec import Codec
from sonant.codes import Codes, join
from sonant.container import version0
from sonant.container.concatenate import concatenate
from sonant.container.opening import open_ecdc
from sonant.container.writer import CHUNK_SECONDS, FileWriter
from sonant.errors import AudioError, ConfigError, FormatError, WeightsError
from sonant.language_models import language_model, official_language_model
from sonant.loading import DEFAULT_MODEL, load, load_named
from sonant.models.registry import bundled_hash, is_bundled
from sonant.origin import new_header
from sonant.outputs import audio_output, check_target, ecdc_output
from sonant.recording import Recording, check_part
from sonant.standard_streams import PIPE, standard_input

HIGHEST_RATE = 768_000
"""Of a decoded file, in Hz."""

Progress = Callable[[float], None]
Write = Callable[[Codes, bool], None]


def compress(
    source: str | Path,
    target: str | Path,
    *,
    model: str | Path | Codec = DEFAULT_MODEL,
    bitrate: float | None = None,
    lm: bool | None = None,
    version: int = 1,
    tags: dict[str, str] | None = None,
    chunk: float | None = None,
    rdo: float | None = None,
    beam: int | None = None,
    abr: float | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> None:
    """Encode an audio file into an .ecdc file.

    Args:
        source: wav, flac, ogg, opus, mp3, …, or `-` for WAV on standard input.
        target: the .ecdc file, or `-` for standard output.
        model: a name, path or hub id as for `sonant.load`, or a loaded codec.
        bitrate: kbit/s, one of the model's; by default 6, or the nearest to it.
        lm: code with the language model; by default if the codec has one.
        version: of the file format; 0 for the official tool.
        tags: title, artist, …, for a version 1 file.
        chunk: seconds that a version 1 file codes on their own, by default 5. Damage costs that much;
            what reads the output of a pipe waits that long.
        rdo: how readily codes give up closeness for bits under the language model, from 0 to 1
            (`RateDistortionSearch`); 0 takes the codes of `Codec.encode`. By default 0.1 where a
            language model codes them, else 0.
        beam: how widely codes are searched for; by default 3 beginnings where they give up closeness
            for bits, else as the codec does.
        abr: average bitrate of the chunks in kbit/s, as the language model codes them, in place of
            `bitrate`: every chunk has as many codebooks as fit (`AverageRate`).
        overwrite: replace an existing target.
        progress: called with the seconds of audio coded so far.

    Raises:
        SonantError: one sentence on what is wrong with which file.
    """
    codec = model if isinstance(model, Codec) else load(model)
    config = codec.config
    if version not in (0, 1):
        raise ConfigError(f"there is no .ecdc version {version}; choose 0 or 1")
    if version == 0:
        _check_version0(codec, tags, chunk, abr, rdo)
    network = language_model(codec) if version == 1 and lm is not False else None
    if abr is not None and bitrate is not None:
        raise ConfigError("give a bitrate or an average bitrate, not both")
    if lm and version == 1 and network is None:
        raise WeightsError(f"{codec.name} has no language model; leave out --lm")
    choice = code_choice(codec, network, bitrate, abr, rdo, beam)
    stream = choice.encoder(codec)
    check_target(source, target, overwrite)
    audio = WavPipeSource(standard_input()) if str(source) == PIPE else open_source(Path(source))
    with closing(audio), ecdc_output(target) as file:
        if version == 0:
            write = _version0_writer(file, codec, lm)
        else:
            seconds = CHUNK_SECONDS if chunk is None else chunk
            header = new_header(codec, network, audio.sample_rate, tags)
            begin = partial(
                FileWriter, file, config, header, network, seconds, choice.search, choice.average
            )
            write = _version1_writer(file, begin)
        done = 0
        for block in model_blocks(audio, str(source), config.sample_rate, config.channels):
            write(stream.push(block), False)
            done += block.shape[1]
            if progress:
                progress(done / config.sample_rate)
        if not done:
            raise AudioError(f"{source}: holds no samples")
        write(stream.finish(), True)


def _check_version0(
    codec: Codec,
    tags: dict[str, str] | None,
    chunk: float | None,
    abr: float | None,
    rdo: float | None,
) -> None:
    """Raise ConfigError on what a version 0 file cannot have."""
    if tags:
        raise ConfigError("a version 0 file has no tags")
    if chunk is not None:
        raise ConfigError("a version 0 file has no chunks")
    if abr is not None:
        raise ConfigError("a version 0 file has no average bitrate; give a bitrate")
    if rdo:
        raise ConfigError("rdo needs a language model of version 1 files; leave it out for version 0")
    if is_bundled(codec.name) and codec.weights_hash != bundled_hash(codec.name):
        raise ConfigError(
            f"a version 0 file would be decoded by the bundled {codec.name}; rename the weights"
        )


def _version0_writer(file: BinaryIO, codec: Codec, lm: bool | None) -> Write:
    network = official_language_model(codec) if lm else None
    pieces: list[Codes] = []

    def write_at_the_end(codes: Codes, last: bool) -> None:
        pieces.append(codes)
        if last:
            version0.write(file, codec.config, join(pieces), codec.name, network)

    return write_at_the_end


def _version1_writer(file: BinaryIO, begin: Callable[[], FileWriter]) -> Write:
    """Begins the file with the first codes: an input bad from the start leaves nothing in a pipe."""
    writer: FileWriter | None = None

    def write(codes: Codes, last: bool) -> None:
        nonlocal writer
        writer = writer or begin()
        writer.write(codes)
        if last:
            writer.finish()
        file.flush()

    return write


def decompress(
    source: str | Path,
    target: str | Path,
    *,
    model: str | Path | Codec | None = None,
    loader: Callable[[str | Path], Codec] = load_named,
    start: float = 0.0,
    duration: float | None = None,
    rate: int | Literal["original"] | None = None,
    strict: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> list[str]:
    """Decode an .ecdc file into an audio file.

    Args:
        source: the .ecdc file, or `-` for standard input.
        target: wav, flac or ogg by its ending, or `-` for WAV on standard output.
        model: the model that made the file; by default the one that the file names.
        loader: what loads the model that the file names; by default only bundled and official ones.
        start, duration: the part to decode, in seconds.
        rate: of the output in Hz, or "original", which version 1 files know; by default the model's.
        strict: damage is an error instead of a fade into silence.
        overwrite, progress: as for `compress`.

    Returns:
        What is damaged and when, a sentence each; nothing for a file that is whole.

    Raises:
        SonantError: one sentence on what is wrong with which file.
    """
    if str(target) != PIPE:
        check_ending(Path(target))
    check_target(source, target, overwrite)
    with open_ecdc(source) as file:
        try:
            recording = Recording(file, model, loader=loader, strict=strict)
            own, channels = recording.sample_rate, recording.channels
            hertz = _output_rate(recording, rate)
            samples = _samples(recording, start, duration) if hertz == own else None
            with audio_output(target, hertz, channels, samples) as sink:
                written = 0
                for audio in resampled(recording.blocks(start, duration), own, hertz, channels):
                    sink.write(audio)
                    written += audio.shape[1]
                    if progress:
                        progress(written / hertz)
                if not written:
                    raise FormatError("; ".join(["holds no audio there", *recording.damages]))
            return recording.damages
        except FormatError as error:
            raise FormatError(f"{source}: {error}") from None
        except WeightsError as error:
            raise WeightsError(f"{source}: {error}") from None


def _output_rate(recording: Recording, rate: int | str | None) -> int:
    if rate is None:
        return recording.sample_rate
    if rate == "original":
        if recording.original_rate is None:
            raise FormatError("does not say the rate of its original; give one in Hz")
        rate = recording.original_rate
    if not isinstance(rate, Integral) or not 1 <= rate <= HIGHEST_RATE:
        raise ConfigError(f"a rate is between 1 and {HIGHEST_RATE} Hz, or original, not {rate}")
    return int(rate)


def join_files(sources: Sequence[str | Path], target: str | Path, *, overwrite: bool = False) -> None:
    """Write version 1 files of one model end to end as one file, without decoding them.

    Args:
        sources: .ecdc files; `-` is standard input. The first gives the tags.
        target: the .ecdc file, or `-` for standard output.
        overwrite: replace an existing target.

    Raises:
        SonantError: one sentence on what is wrong with which file.
    """
    for source in sources:
        check_target(source, target, overwrite)

    def opened() -> Iterator[tuple[str, BinaryIO]]:
        for source in sources:
            with open_ecdc(source) as file:
                yield str(source), file

    with ecdc_output(target) as out:
        concatenate(opened(), out)


def _samples(recording: Recording, start: float, duration: float | None) -> int | None:
    """Samples that will be written, None where that is not known."""
    if recording.length is None:
        return None
    check_part(start, duration)
    rate = recording.sample_rate
    left = max(0, recording.length - round(start * rate))
    return left if duration is None else min(left, round(duration * rate))
