"""Codes of a corpus back into audio, one file for each recording."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

from sonant.audio import AUDIO_ENDINGS
from sonant.audio.sinks import check_ending
from sonant.codec import Codec
from sonant.codes import Codes, pieces_of
from sonant.errors import FormatError, SonantError, WeightsError
from sonant.loading import load, load_named
from sonant.outputs import audio_output
from sonant.parallel import in_order, processes
from sonant.tokenizing.made_of import is_there, made_of
from sonant.tokenizing.reading import Coded, find_codes, read_codes
from sonant.tokenizing.summary import Progress, Summary

BLOCK_FRAMES = 1500


class _Job(NamedTuple):
    coded: Coded
    target: Path

    def __str__(self) -> str:
        return str(self.coded)


def detokenize(
    inputs: Sequence[Path],
    folder: Path,
    *,
    model: str | None = None,
    ending: str = ".wav",
    jobs: int = 1,
    progress: Progress | None = None,
) -> Summary:
    """Decode codes into audio files in a folder.

    Audio that is there already is not made again, unless it was made of other codes or by another model;
    where what is there is not from here, the recording fails. One that fails does not stop the rest.

    Args:
        inputs: as for `find_codes`.
        folder: for the audio, each file under the name of its recording, whose own ending stays only
            where two would otherwise be one.
        model: what made the codes, any name that `sonant.load` takes; by default the one told beside them,
            if it is bundled or official, else the bundled 24khz.
        ending: of the files, .wav, .flac or .ogg.
        jobs: processes; 0 for one on each core.
        progress: told of every recording.

    Raises:
        SonantError: if inputs cannot be found, or there is no such format or number of jobs.
    """
    jobs = processes(jobs)
    check_ending(Path(f"audio{ending}"))
    items = find_codes(inputs)
    work = list(map(_Job, items, _targets(folder, items, ending)))
    summary = Summary()
    failures: list[str] = []
    prepare = partial(_decoder, model)
    for number, (_, result) in enumerate(in_order(prepare, work, min(jobs, max(1, len(work)))), 1):
        if isinstance(result, SonantError):
            failures.append(str(result))
        elif result is None:
            summary.before += 1
        else:
            summary.coded += 1
            summary.seconds += result
        if progress:
            progress(number, len(items), summary)
    summary.failures = tuple(failures)
    return summary


def _targets(folder: Path, items: Sequence[Coded], ending: str) -> list[Path]:
    names = [Path(coded.name) for coded in items]
    short = [name.with_suffix("") if name.suffix.lower() in AUDIO_ENDINGS else name for name in names]
    times, taken = Counter(short), set(names)
    kept = [
        brief if times[brief] == 1 and brief not in taken else whole
        for brief, whole in zip(short, names, strict=True)
    ]
    return [folder / f"{name}{ending}" for name in kept]


def _decoder(model: str | None) -> Callable[[_Job], float | None]:
    """Decodes codes into a file and gives its seconds, or None where it is there already."""
    given = load(model) if model else None
    loaded = cache(load_named)

    def work(job: _Job) -> float | None:
        coded, target = job
        codec = given or _codec_of(coded, loaded)
        codes = read_codes(coded, codec.config)
        comment = made_of(codec, codes)
        if is_there(target, comment):
            return None
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            _decode(codec, codes, target, comment)
        except FormatError as error:
            raise FormatError(f"{coded}: {error}") from None
        return codes.length / codec.config.sample_rate

    return work


def _codec_of(coded: Coded, loaded: Callable[[str], Codec]) -> Codec:
    try:
        codec = loaded(coded.known.get("model", "24khz"))
    except WeightsError as error:
        raise WeightsError(f"{coded}: {error}") from None
    if coded.known.get("weights", codec.weights_hash) != codec.weights_hash:
        model = coded.known.get("model", codec.config.name)
        raise WeightsError(f"{coded}: was made with other weights of {model}; give them with -m")
    return codec


def _decode(codec: Codec, codes: Codes, target: Path, comment: str) -> None:
    """Write a recording in blocks."""
    config, decoder = codec.config, codec.decoder()
    with audio_output(target, config.sample_rate, config.channels, codes.length, comment) as sink:
        for piece in pieces_of(codes, config, BLOCK_FRAMES):
            sink.write(decoder.push(piece))
        sink.write(decoder.finish())
