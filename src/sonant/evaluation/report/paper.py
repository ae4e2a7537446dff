"""The result tables of the paper (arXiv 2210.13438), to stand beside what was measured here.

A row names the codec of a run that it is compared with: `Sonant 6` is the bundled model at 6 kbps,
and an ablation is a model given as `--model "LABEL=WEIGHTS"`, whose codec is `LABEL 6`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PaperRow:
    """A row: the paper's name for it, codecs of ours that match (the first at hand is taken), its cells."""

    label: str
    ours: tuple[str, ...]
    cells: tuple[str, ...]


@dataclass(frozen=True)
class PaperTable:
    """A table: its number and title, the columns of the paper, which of ours stand beside them.

    `measured` are metric keys; `by_category` gives each category of the run its own columns; a table
    stands in reports on sets with as many `channels`.
    """

    number: str
    title: str
    columns: tuple[str, ...]
    measured: tuple[str, ...]
    rows: tuple[PaperRow, ...]
    by_category: bool = False
    categories: tuple[str, ...] | None = None
    channels: int = 1


MUSIC = ("music", "music 1", "music 2")
_QUALITY = ("si_snr", "visqol_audio")


def _row(label: str, ours: str, *cells: str) -> PaperRow:
    return PaperRow(label, tuple(ours.split("|")) if ours else (), cells)


def _ablation(label: str, *cells: str) -> PaperRow:
    return PaperRow(label, (f"{label} 6",), cells)


TABLES = (
    PaperTable(
        "1",
        "24 kHz, streamable; the paper's MUSHRA, our objective scores",
        ("kbps", "entropy coded", "clean speech", "noisy speech", "music 1", "music 2"),
        _QUALITY,
        (
            _row("Reference", "", "–", "–", "95.5±1.6", "93.9±1.8", "93.2±2.5", "97.1±1.3"),
            _row("Opus", "Opus 6", "6", "–", "30.1±2.8", "19.1±5.9", "20.6±5.8", "17.9±5.3"),
            _row("Opus", "Opus 12", "12", "–", "76.5±2.3", "61.9±2.1", "77.8±3.2", "65.4±2.7"),
            _row("EVS", "EVS 9.6", "9.6", "–", "84.4±2.5", "80.0±2.4", "89.9±2.3", "87.7±2.3"),
            _row("Lyra-v2", "Lyra-v2 3.2", "3", "–", "53.1±1.9", "52.0±4.7", "69.3±3.3", "42.3±3.5"),
            _row("Lyra-v2", "Lyra-v2 6", "6", "–", "66.2±2.9", "59.9±3.3", "75.7±2.6", "48.6±2.1"),
            _row("EnCodec", "Sonant 1.5", "1.5", "0.9", "49.2±2.4", "41.3±3.6", "68.2±2.2", "66.5±2.3"),
            _row("EnCodec", "Sonant 3", "3", "1.9", "67.0±1.5", "62.5±2.3", "89.6±3.1", "87.8±2.9"),
            _row("EnCodec", "Sonant 6", "6", "4.1", "83.1±2.7", "69.4±2.3", "92.9±1.8", "91.3±2.1"),
            _row("EnCodec", "Sonant 12", "12", "8.9", "90.6±2.6", "80.1±2.5", "91.8±2.5", "92.9±1.2"),
        ),
        by_category=True,
        categories=("clean speech", "noisy speech", "music 1", "music 2"),
    ),
    PaperTable(
        "2",
        "discriminators",
        ("SI-SNR", "ViSQOL", "MUSHRA"),
        _QUALITY,
        (
            _ablation("MSD+Mono-STFT", "5.99", "4.22", "62.91±2.62"),
            _ablation("MPD", "7.35", "4.24", "60.7±2.8"),
            _ablation("MS-STFT+MPD", "6.55", "4.34", "79.0±1.9"),
            _row("MS-STFT", "MS-STFT 6|Sonant 6", "6.67", "4.35", "77.5±1.8"),
        ),
    ),
    PaperTable(
        "3",
        "streamable and not, at 6 kbps",
        ("SI-SNR", "ViSQOL"),
        _QUALITY,
        (
            _row("Opus", "Opus 6", "2.45", "2.60"),
            _row("EVS", "EVS 7.2|EVS 5.9", "1.89", "2.74"),
            _row("EnCodec, streamable", "Sonant 6", "6.67", "4.35"),
            _row("EnCodec, not streamable", "non-streamable 6", "7.46", "4.39"),
        ),
    ),
    PaperTable(
        "4",
        "48 kHz stereo music; the paper's MUSHRA, our objective scores",
        ("kbps", "entropy coded", "MUSHRA"),
        _QUALITY,
        (
            _row("Reference", "", "–", "–", "95.1±1.8"),
            _row("MP3", "MP3 64", "64", "–", "82.7±3.2"),
            _row("Opus", "Opus 6", "6", "–", "17.7±5.9"),
            _row("Opus", "Opus 24", "24", "–", "82.9±3.7"),
            _row("EnCodec", "Sonant 6", "6", "4.2", "82.9±2.4"),
            _row("EnCodec", "Sonant 12", "12", "8.9", "88.0±2.7"),
            _row("EnCodec", "Sonant 24", "24", "19.4", "87.5±2.6"),
        ),
        categories=MUSIC,
        channels=2,
    ),
    PaperTable(
        "5",
        "times faster than real time at 6 kbps, one thread (encode, decode)",
        ("encode", "decode", "encode with entropy coding", "decode with entropy coding"),
        ("speed",),
        (
            _row("Lyra v2", "Lyra-v2 6", "27.4", "67.2", "–", "–"),
            _row("EnCodec 24 kHz", "Sonant 6", "9.8", "10.4", "1.6", "1.6"),
            _row("EnCodec 48 kHz", "48khz 6", "6.8", "5.1", "0.68", "0.66"),
        ),
    ),
    PaperTable(
        "A.2",
        "quantisers at 3 kbps; the paper's MUSHRA, our objective scores",
        ("MUSHRA",),
        _QUALITY,
        (
            _row("Reference", "", "96.1±1.41"),
            _row("Opus, 6 kbps", "Opus 6", "21.1±2.62"),
            _row("EVS, 6 kbps", "EVS 5.9|EVS 7.2", "62.9±2.18"),
            _row("SoundStream", "SoundStream 3", "71.8±1.51"),
            _row("EnCodec, DiffQ", "DiffQ 3", "72.3±1.18"),
            _row("EnCodec, RVQ", "Sonant 3", "76.8±1.31"),
        ),
    ),
    PaperTable(
        "A.3",
        "architecture at 6 kbps",
        ("encode ×", "decode ×", "SI-SNR", "ViSQOL"),
        ("speed", *_QUALITY),
        (
            _ablation("C=32", "9.8", "10.4", "6.67", "4.35"),
            _row("C=16", "C=16 6|Sonant 6", "26.0", "25.7", "6.40", "4.32"),
            _ablation("C=64", "1.3", "3.1", "6.70", "4.38"),
            _ablation("no norm", "10.1", "10.4", "6.45", "4.29"),
            _ablation("no LSTM", "15.0", "14.6", "6.40", "4.35"),
            _ablation("3 residual units, no LSTM", "6.0", "7.3", "6.32", "4.35"),
        ),
    ),
    PaperTable(
        "A.4",
        "balancer: λ_t, λ_f, λ_g, λ_feat (DiffQ, Jamendo); SI-SNR / ViSQOL of the paper",
        ("with", "without"),
        _QUALITY,
        tuple(
            PaperRow(weights, (f"λ {weights} 6",), (balanced, plain))
            for weights, balanced, plain in (
                ("1,1,1,1", "10.32 / 4.16", "6.16 / 3.89"),
                ("1,1,2,1", "10.08 / 4.12", "5.01 / 3.77"),
                ("1,2,2,1", "10.06 / 4.17", "3.84 / 3.67"),
                ("1,2,4,1", "9.93 / 4.17", "1.72 / 3.52"),
                ("1,2,100,1", "8.41 / 4.05", "−35.83 / 2.82"),
                ("2,1,1,4", "10.53 / 4.06", "7.66 / 4.03"),
                ("2,2,2,4", "10.19 / 4.13", "7.16 / 3.98"),
                ("2,2,10,4", "9.82 / 4.11", "3.98 / 3.66"),
                ("2,2,100,4", "8.52 / 4.03", "−34.31 / 2.91"),
                ("10,1,1,1", "10.53 / 3.65", "8.16 / 4.00"),
                ("10,1,4,1", "10.72 / 3.62", "5.99 / 3.74"),
                ("10,1,4,2", "10.71 / 3.73", "7.03 / 3.88"),
                ("10,2,100,2", "9.23 / 4.07", "−33.78 / 2.85"),
                ("10,2,100,4", "9.22 / 4.09", "−16.39 / 2.95"),
            )
        ),
        categories=MUSIC,
    ),
)
