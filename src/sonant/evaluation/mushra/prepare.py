"""Make a session: every system's version of every excerpt, equally loud, under names that say nothing."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import soundfile

from sonant.audio import Audio
from sonant.errors import AudioError
from sonant.evaluation.cache import Cache, content_hash
from sonant.evaluation.metrics.loudness import loudness
from sonant.evaluation.mushra.session import ANCHOR, REFERENCE, Session, Trial
from sonant.evaluation.run import Plan, decoded_audio, reason
from sonant.outputs import check_new_folder

ANCHOR_HZ = 3500.0
_TRANSITION_HZ = 200.0
_PEAK = 0.98
_ROUNDS = 3
_NAME_LENGTH = 16


def low_anchor(audio: Audio, sample_rate: int) -> Audio:
    """Low-pass at 3.5 kHz, as BS.1534 asks; `[channels, samples]`."""
    spectrum = np.fft.rfft(audio, axis=1)
    frequencies = np.fft.rfftfreq(audio.shape[1], 1 / sample_rate)
    over = np.clip((frequencies - ANCHOR_HZ) / _TRANSITION_HZ, 0, 1)
    return np.fft.irfft(spectrum * (0.5 + 0.5 * np.cos(np.pi * over)), audio.shape[1], axis=1).astype(
        np.float32
    )


def _at_loudness(audio: Audio, target: float, sample_rate: int) -> Audio:
    """`audio` scaled to `target` LUFS; again as long as the gate lets other blocks pass than before."""
    for _ in range(_ROUNDS):
        gain = target - loudness(audio, sample_rate)
        if not np.isfinite(gain):
            raise AudioError("a version is silent")
        audio = audio * np.float32(10 ** (gain / 20))
    return audio


def _equally_loud(versions: dict[str, Audio], sample_rate: int) -> dict[str, Audio]:
    """Every version at the loudness of the reference, then all lower if one would clip."""
    target = loudness(versions[REFERENCE], sample_rate)
    matched = {name: _at_loudness(audio, target, sample_rate) for name, audio in versions.items()}
    peak = max(float(np.abs(audio).max()) for audio in matched.values())
    scale = np.float32(min(1.0, _PEAK / peak))
    return {name: audio * scale for name, audio in matched.items()}


def prepare(plan: Plan, folder: Path, seed: int) -> Session:
    """Write a session with every excerpt of the plan's set and every codec of the plan.

    Nothing is left of a session that cannot be finished.

    Raises:
        ConfigError: if the folder holds something already.
        SonantError: if an excerpt cannot be read or coded: a listening test has no gaps.
    """
    check_new_folder(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as unfinished:
        session = _write_session(plan, Path(unfinished), seed)
        folder.mkdir(exist_ok=True)
        for part in Path(unfinished).iterdir():
            part.rename(folder / part.name)
    return session


def _write_session(plan: Plan, folder: Path, seed: int) -> Session:
    (folder / "audio").mkdir()
    rate = plan.evaluation_set.sample_rate
    trials = []
    for excerpt in plan.evaluation_set.excerpts:
        reference = plan.evaluation_set.render(excerpt, plan.root)
        versions = {REFERENCE: reference, ANCHOR: low_anchor(reference, rate)}
        for codec in plan.codecs:
            try:
                versions[codec.name] = decoded_audio(codec, reference, rate, Cache(plan.cache))[0]
            except Exception as error:
                raise AudioError(f"{excerpt.name} through {codec.name}: {reason(error)}") from error
        matched = _equally_loud(versions, rate)
        names = {}
        for system in ("open", *matched):
            names[system] = content_hash(str(seed), excerpt.name, system)[:_NAME_LENGTH]
            audio = matched[REFERENCE if system == "open" else system]
            soundfile.write(folder / "audio" / f"{names[system]}.flac", audio.T, rate, subtype="PCM_16")
        stimuli = {names[system]: system for system in matched}
        trials.append(Trial(excerpt.name, excerpt.category, names["open"], stimuli))
    session = Session(content_hash(str(seed), *(t.open_reference for t in trials))[:8], seed, tuple(trials))
    session.write(folder)
    return session
