"""Where ViSQOL's speech mode hears a codec fail: by band, and by level in the original.

python benchmarks/visqol_bands.py CORPUS --codecs sonant:6,opus:6,lyra:6 --lyra LYRA_FOLDER

For clean speech of validation24: the similarity (NSIM) of every band of its gammatone spectrogram, and
by how many dB the decoded spectrogram lies over the original, in cells that the original has at some level.
"""

from __future__ import annotations

import numpy as np
import soxr
from clean_speech import clean_speech, speech_parser
from codec_arguments import add_codecs, chosen_codecs
from numpy.typing import NDArray
from visqol import VisqolApi
from visqol.analysis_window import AnalysisWindow
from visqol.audio_utils import AudioSignal, scale_to_match_sound_pressure_level
from visqol.gammatone import GammatoneSpectrogramBuilder, prepare_spectrograms_for_comparison

from sonant.evaluation.codecs.base import round_trip

RATE = 16_000
BANDS = 21
LOWEST_HERTZ = 50.0
REGIONS = {"50–500 Hz": slice(0, 7), "0.5–2 kHz": slice(7, 14), "2–7 kHz": slice(14, BANDS)}
LEVELS = range(0, 80, 10)

Array = NDArray[np.float64]


def spectrograms(reference: Array, degraded: Array) -> tuple[Array, Array]:
    """Both as ViSQOL compares them, `[bands, frames]`, in dB over its floor (it halves decibels)."""
    pair = AudioSignal(reference, RATE), AudioSignal(degraded, RATE)
    pair = pair[0], scale_to_match_sound_pressure_level(*pair)
    builder, window = GammatoneSpectrogramBuilder(BANDS, LOWEST_HERTZ, True), AnalysisWindow(RATE, 0.25)
    first, second = prepare_spectrograms_for_comparison(*(builder.build(signal, window) for signal in pair))
    frames = min(first.shape[1], second.shape[1])
    return 2 * first[:, :frames], 2 * second[:, :frames]


def main() -> None:
    """Print a block for each codec."""
    parser = speech_parser(__doc__, excerpts=12)
    add_codecs(parser)
    options = parser.parse_args()
    clips, rate = clean_speech(options.corpus, options.excerpts)
    visqol = VisqolApi()
    visqol.create(mode="speech", use_lattice_model=True)
    for codec in chosen_codecs(options):
        scores, similarity, levels, errors = [], [], [], []
        for clip in clips:
            decoded, _ = round_trip(codec, clip, rate)
            signals = [soxr.resample(x[0].astype(float), rate, RATE) for x in (clip, decoded)]
            result = visqol.measure_from_arrays(*signals, sample_rate=RATE)
            scores.append(result.moslqo)
            similarity.append(result.fvnsim)
            before, after = spectrograms(*signals)
            levels.append(before)
            errors.append(after - before)
        level, error = np.concatenate(levels, axis=1), np.concatenate(errors, axis=1)
        print(f"{codec.name}: ViSQOL speech {np.mean(scores):.2f}, NSIM {np.mean(similarity):.3f}")
        print("  NSIM by band  ", " ".join(f"{value:.2f}" for value in np.mean(similarity, axis=0)))
        for name, bands in REGIONS.items():
            cells, off = level[bands].ravel(), error[bands].ravel()
            parts = [(low, off[(cells >= low) & (cells < low + 10)]) for low in LEVELS]
            text = "  ".join(f"{low}: {x.mean():+.1f} ± {x.std():.1f}" for low, x in parts if len(x))
            print(f"  {name:14s} {text}")


if __name__ == "__main__":
    main()
