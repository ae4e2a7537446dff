"""What a codec would score in ViSQOL's speech mode with the right envelope: which flaw costs most.

python benchmarks/visqol_oracle.py CORPUS [--codec sonant:6] [--excerpts 8]

The decoded clean speech of validation24 gets the short-time band energies of the original (about one ERB
wide, 43 ms long), everywhere or in a part of the plane only, upwards or downwards only; then the original
itself, or silence, in one band.
"""

from __future__ import annotations

import numpy as np
import scipy.ndimage
import scipy.signal
from clean_speech import clean_speech, speech_parser
from numpy.typing import NDArray

from sonant.evaluation.codecs import CodecSources, make_codec
from sonant.evaluation.codecs.base import round_trip
from sonant.evaluation.metrics.perceptual import visqol_speech

WINDOW, HOP, FRAMES = 512, 128, 8
TINY = 1e-14
EVERYWHERE = (0.0, np.inf)
FIXES = {
    "nothing": (EVERYWHERE, 1.0, 1.0),
    "all": (EVERYWHERE, 0.0, np.inf),
    "what is too quiet": (EVERYWHERE, 1.0, np.inf),
    "what is too loud": (EVERYWHERE, 0.0, 1.0),
    "below 500 Hz": ((0.0, 500.0), 0.0, np.inf),
    "500 Hz to 2 kHz": ((500.0, 2000.0), 0.0, np.inf),
    "above 2 kHz": ((2000.0, np.inf), 0.0, np.inf),
    "too quiet above 2 kHz": ((2000.0, np.inf), 1.0, np.inf),
}
SPLICES = ((0, 600), (600, 1500), (1500, 2500), (2500, 4000), (4000, np.inf))

Array = NDArray[np.float64]


def envelope(spectrum: NDArray[np.complex128], hertz: Array) -> Array:
    """Energy `[bins, frames]` around every bin, over one equivalent rectangular band and 43 ms."""
    energy = scipy.ndimage.uniform_filter1d(np.abs(spectrum) ** 2, FRAMES, axis=1)
    reach = np.maximum(1, 24.7 * (4.37 * hertz / 1000 + 1) / hertz[1] / 2).astype(int)
    sums = np.concatenate([np.zeros((1, energy.shape[1])), energy.cumsum(axis=0)])
    bins = np.arange(len(hertz))
    first, last = np.maximum(0, bins - reach), np.minimum(len(hertz), bins + reach + 1)
    mean: Array = (sums[last] - sums[first]) / (last - first)[:, None]
    return np.maximum(mean, 0)


def spectrum(audio: Array, rate: int) -> tuple[Array, NDArray[np.complex128]]:
    """Hertz `[bins]` and spectra `[bins, frames]`."""
    hertz, _, values = scipy.signal.stft(audio, rate, nperseg=WINDOW, noverlap=WINDOW - HOP)
    return hertz, values


def audio_of(spectra: NDArray[np.complex128], rate: int, length: int) -> Array:
    """The inverse of `spectrum`."""
    result: Array = scipy.signal.istft(spectra, rate, nperseg=WINDOW, noverlap=WINDOW - HOP)[1]
    return result[:length]


def corrected(reference: Array, decoded: Array, rate: int, fix: str) -> Array:
    """`decoded` with gains towards the envelope of `reference`, within a fix's band and limits."""
    (low, high), least, most = FIXES[fix]
    (hertz, before), (_, after) = spectrum(reference, rate), spectrum(decoded, rate)
    gain = np.sqrt((envelope(before, hertz) + TINY) / (envelope(after, hertz) + TINY)).clip(least, most)
    gain[(hertz < low) | (hertz >= high)] = 1
    return audio_of(after * gain, rate, len(reference))


def spliced(decoded: Array, other: Array, rate: int, band: tuple[float, float]) -> Array:
    """`decoded`, but `other` within a band in Hz."""
    (hertz, before), (_, after) = spectrum(other, rate), spectrum(decoded, rate)
    inside = (hertz >= band[0]) & (hertz < band[1])
    return audio_of(np.where(inside[:, None], before, after), rate, len(decoded))


def main() -> None:
    """Print the mean score after each correction."""
    parser = speech_parser(__doc__, excerpts=8)
    parser.add_argument("--codec", default="sonant:6")
    options = parser.parse_args()
    clips, rate = clean_speech(options.corpus, options.excerpts)
    codec = make_codec(options.codec, CodecSources(models={"sonant": options.model}))
    pairs = [(clip[0], round_trip(codec, clip, rate)[0][0]) for clip in clips]
    for fix in FIXES:
        scores = [visqol_speech(clip, corrected(clip, decoded, rate, fix), rate) for clip, decoded in pairs]
        print(f"{fix:24s} {np.mean(scores):.2f}", flush=True)
    for low, high in SPLICES:
        for name, share in (("original", 1), ("silence", 0)):
            spliced_pairs = [(c, spliced(d, share * c, rate, (low, high))) for c, d in pairs]
            scores = [visqol_speech(clip, mixed, rate) for clip, mixed in spliced_pairs]
            print(f"{name} from {low} to {high} Hz: {np.mean(scores):.2f}", flush=True)


if __name__ == "__main__":
    main()
