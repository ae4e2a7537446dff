"""TensorBoard: curves, and what the model sounds and looks like on the fixed validation list."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from sonant.errors import AudioError, ConfigError
from sonant.training.corpus import Corpus
from sonant.training.losses import si_snr
from sonant.training.manifest import VALIDATION_NAME, read_manifest
from sonant.training.recipe import Recipe

EXAMPLES_PER_KIND = 4
EXAMPLE_SECONDS = 4.0
PICTURE_WINDOW = 1024
PICTURE_FLOOR_DB = -80.0

Examples = dict[str, Tensor]


def spectrogram_picture(audio: Tensor) -> Tensor:
    """Grey picture `[1, bins, frames]` in [0, 1] of audio `[T]`: dB below its peak, low notes below."""
    window = torch.hann_window(PICTURE_WINDOW)
    spectrum = torch.stft(audio, PICTURE_WINDOW, PICTURE_WINDOW // 4, window=window, return_complex=True)
    level = 20 * torch.log10(spectrum.abs() + 1e-9)
    level = (level - level.max()).clamp_min(PICTURE_FLOOR_DB)
    return (1 - level / PICTURE_FLOOR_DB).flip(0)[None]


def validation_examples(recipe: Recipe) -> Examples:
    """For every kind of the validation list a few crops `[N, T, channels]`; empty without a list."""
    model = recipe.model
    length = model.segment_length or int(EXAMPLE_SECONDS * model.sample_rate)
    found: dict[str, list[Tensor]] = {}
    for name in recipe.data.packs:
        place = Path(name)
        folder = place if place.is_dir() else place.parent
        try:
            recordings = read_manifest(folder / VALIDATION_NAME)
            corpus = Corpus([folder / VALIDATION_NAME], model.sample_rate, model.channels)
        except ConfigError:
            continue
        for recording in recordings:
            crops = found.setdefault(recording.kind, [])
            if len(crops) < EXAMPLES_PER_KIND and recording.seconds * model.sample_rate >= length / 2:
                try:
                    crops.append(torch.from_numpy(corpus.read(recording, 0, length)))
                except AudioError:
                    continue
    return {kind: torch.stack(crops) for kind, crops in found.items() if crops}


class Monitor:
    """Writes a run's events into `folder`; where one cannot be written, it says so and writes no more."""

    def __init__(self, folder: Path, sample_rate: int, first_step: int = 0) -> None:
        self._writer: SummaryWriter | None = SummaryWriter(str(folder), purge_step=first_step or None)
        self._sample_rate = sample_rate

    def curves(self, step: int, row: dict[str, float]) -> None:
        """One point on every curve."""
        for name, value in row.items():
            self._write(SummaryWriter.add_scalar, name, value, step)

    def listen(self, step: int, kind: str, reference: Tensor, decoded: Tensor) -> dict[str, float]:
        """Quality over the examples `[N, T, channels]`; spectrograms and sound of the first of them."""
        quality = {f"validation/{kind} SI-SNR": si_snr(reference, decoded).mean().item()}
        self.curves(step, quality)
        for name, audio in (("decoded", decoded), ("reference", reference)):
            mono = audio[0].mean(1).clamp(-1, 1)
            tag = f"{kind}/{name}"
            self._write(SummaryWriter.add_image, tag, spectrogram_picture(mono), step)
            self._write(SummaryWriter.add_audio, tag, mono[None], step, self._sample_rate)
        return quality

    def close(self) -> None:
        """Write what is still in memory."""
        self._write(SummaryWriter.close)

    def _write(self, method: Callable[..., None], *values: Any) -> None:
        """Call a method of the writer while there is one."""
        if self._writer is None:
            return
        try:
            method(self._writer, *values)
        except OSError as error:
            self._writer = None
            print(f"no more TensorBoard events ({error.strerror or error})", file=sys.stderr, flush=True)
