"""Encode and decode real speech and music at every bitrate; print sizes, quality and where to listen."""

from __future__ import annotations

from pathlib import Path

import soundfile

import sonant
from sonant.audio import read_audio
from sonant.evaluation.metrics.signal import si_snr

HERE = Path(__file__).parent
OUT = HERE.parent / "demo"
BITRATES = (1.5, 3.0, 6.0, 12.0)


def main() -> None:
    """Run the demo."""
    codec = sonant.load()
    rate = codec.config.sample_rate
    OUT.mkdir(exist_ok=True)
    print(f"{'recording':<16} {'kbps':>5} {'bytes':>7} {'measured':>9} {'SI-SNR':>8}  file to listen to")
    for source in sorted((HERE / "audio").glob("*.flac")):
        original, _ = read_audio(source, rate, codec.config.channels)
        reference = OUT / f"{source.stem}.wav"
        soundfile.write(reference, original.T, rate)
        print(f"{source.stem:<16} {'':>5} {source.stat().st_size:>7} {'':>9} {'':>8}  {shown(reference)}")
        for bitrate in BITRATES:
            coded = OUT / f"{source.stem}_{bitrate:g}kbps.ecdc"
            decoded = coded.with_suffix(".wav")
            sonant.compress(source, coded, model=codec, bitrate=bitrate, overwrite=True)
            sonant.decompress(coded, decoded, model=codec, overwrite=True)
            result, _ = read_audio(decoded, rate, codec.config.channels)
            size = coded.stat().st_size
            measured = size * 8 / 1000 / (original.shape[1] / rate)
            quality = si_snr(original[0], result[0])
            numbers = f"{bitrate:>5g} {size:>7} {measured:>4.2f} kbps {quality:>5.1f} dB"
            print(f"{'':<16} {numbers}  {shown(decoded)}")


def shown(path: Path) -> str:
    """The path from the current folder, if it is below it."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


if __name__ == "__main__":
    main()
