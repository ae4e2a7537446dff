"""Encode and decode real speech and music; print sizes, quality and where to listen."""

from __future__ import annotations

from pathlib import Path

import soundfile

import sonant
from sonant.audio import Audio, read_audio
from sonant.codec import Codec
from sonant.evaluation.metrics.signal import si_snr

HERE = Path(__file__).parent
OUT = HERE.parent / "demo"
RATE = 24_000
BITRATES = {"24khz": (1.5, 3.0, 6.0, 12.0), "24khz_large": (6.0,)}


def main() -> None:
    """Run the demo."""
    codecs = {name: sonant.load(name) for name in BITRATES}
    OUT.mkdir(exist_ok=True)
    heads = f"{'kbit/s':>6} {'bytes':>7} {'measured':>12} {'SI-SNR':>8}"
    print(f"{'recording':<16} {'model':<12} {heads}  file to listen to")
    for source in sorted((HERE / "audio").glob("*.flac")):
        original, _ = read_audio(source, RATE, 1)
        reference = OUT / f"{source.stem}.wav"
        soundfile.write(reference, original.T, RATE)
        empty = f"{'':<12} {'':>6} {source.stat().st_size:>7} {'':>12} {'':>8}"
        print(f"{source.stem:<16} {empty}  {shown(reference)}")
        for name, bitrates in BITRATES.items():
            for bitrate in bitrates:
                coded = OUT / f"{source.stem}_{name}_{bitrate:g}kbps.ecdc"
                numbers = there_and_back(codecs[name], source, coded, original, bitrate)
                print(f"{'':<16} {name:<12} {numbers}  {shown(coded.with_suffix('.wav'))}")


def there_and_back(codec: Codec, source: Path, coded: Path, original: Audio, bitrate: float) -> str:
    """Encode a file and decode it again; its numbers for the table."""
    decoded = coded.with_suffix(".wav")
    sonant.compress(source, coded, model=codec, bitrate=bitrate, overwrite=True)
    sonant.decompress(coded, decoded, model=codec, overwrite=True)
    result, _ = read_audio(decoded, RATE, 1)
    size = coded.stat().st_size
    measured = size * 8 / 1000 / (original.shape[1] / RATE)
    quality = si_snr(original[0], result[0])
    return f"{bitrate:>6g} {size:>7} {measured:>5.2f} kbit/s {quality:>5.1f} dB"


def shown(path: Path) -> str:
    """The path from the current folder, if it is below it."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


if __name__ == "__main__":
    main()
