"""What models of hearing would say of speech with one flaw less, or of one flaw alone: which costs most.

python benchmarks/speech_oracle.py CORPUS [--codec sonant:6] [--excerpts 8] [--metrics visqol_speech,pesq]

The decoded clean speech of validation24 gets the short-time band energies of the original (about one ERB
wide, 43 ms long), everywhere or in a part of the plane only, upwards or downwards only; then the original
itself, or silence, in one band; and at last the original gets what was decoded in that band.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.ndimage
import scipy.signal
from clean_speech import clean_speech, speech_parser
from numpy.typing import NDArray

from sonant.evaluation.codecs import CodecSources, make_codec
from sonant.evaluation.codecs.base import round_trip
from sonant.evaluation.metrics import METRICS

WINDOW, HOP, FRAMES = 512, 128, 8
TINY = 1e-14
EVERYWHERE = (0.0, np.inf)
FIXES = {
    "nothing": (EVERYWHERE, 1.0, 1.0),
    "everything": (EVERYWHERE, 0.0, np.inf),
    "what is too quiet": (EVERYWHERE, 1.0, np.inf),
    "what is too loud": (EVERYWHERE, 0.0, 1.0),
    "below 500 Hz": ((0.0, 500.0), 0.0, np.inf),
    "500 Hz to 2 kHz": ((500.0, 2000.0), 0.0, np.inf),
    "above 2 kHz": ((2000.0, np.inf), 0.0, np.inf),
    "too quiet above 2 kHz": ((2000.0, np.inf), 1.0, np.inf),
}
SPLICES = ((0, 300), (300, 1000), (1000, 2000), (2000, 4000), (4000, np.inf))

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


def variants(pairs: list[tuple[Array, Array]], rate: int) -> Iterator[tuple[str, list[Array]]]:
    """Names of what is changed in the decoded audio, and that audio."""
    for fix in FIXES:
        yield f"envelope of {fix}", [corrected(clip, decoded, rate, fix) for clip, decoded in pairs]
    for band in SPLICES:
        name = f"{band[0]} to {band[1]} Hz"
        yield f"original at {name}", [spliced(decoded, clip, rate, band) for clip, decoded in pairs]
        yield f"silence at {name}", [spliced(decoded, 0 * clip, rate, band) for clip, decoded in pairs]
        yield f"original but for {name}", [spliced(clip, decoded, rate, band) for clip, decoded in pairs]


def main() -> None:
    """Print the mean scores of each variant."""
    parser = speech_parser(__doc__, excerpts=8)
    parser.add_argument("--codec", default="sonant:6")
    parser.add_argument("--metrics", default="visqol_speech,pesq,distillmos")
    options = parser.parse_args()
    clips, rate = clean_speech(options.corpus, options.excerpts)
    codec = make_codec(options.codec, CodecSources(models={"sonant": options.model}))
    metrics = [METRICS[key] for key in options.metrics.split(",")]
    pairs = [(clip[0], round_trip(codec, clip, rate)[0][0]) for clip in clips]
    print(f"{'':34s}" + "".join(f"{metric.title:>15s}" for metric in metrics))
    for name, changed in variants(pairs, rate):
        scored = [
            (clip, audio[None].astype(np.float32)) for clip, audio in zip(clips, changed, strict=True)
        ]
        means = [
            np.mean([metric.measure(clip, audio, rate) for clip, audio in scored]) for metric in metrics
        ]
        print(f"{name:34s}" + "".join(f"{mean:15.2f}" for mean in means), flush=True)


if __name__ == "__main__":
    main()
