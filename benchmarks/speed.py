"""Sonant beside the official EnCodec, 🤗 Transformers and a plain ONNX export, in one run.

    pip install '.[train,eval,dev]' && pip install --no-deps encodec==0.1.1 && pip install einops
    python benchmarks/speed.py [--seconds 10] [--rounds 3] [--memory 30 120 1200] [--json F] [--plot F.png]

One thread everywhere. All run the same random weights of the official sizes, but for the rows "24khz"
and "24khz_large", the bundled models. All take the nearest entry of each codebook;
`benchmarks/search.py` tells what a wider search takes. Speeds are seconds of audio per second of
processor time, the best of all turns.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnxruntime
import soundfile
import torch
from peers import (
    Peer,
    official_files,
    official_model,
    official_peer,
    onnx_peer,
    sonant_of,
    transformers_peer,
)

import sonant
from sonant.benchmark.processes import SONANT, peak_megabytes, pipe_megabytes, wall_seconds
from sonant.benchmark.speed import file_calls, frame_milliseconds, noise, percentiles, real_time_factors
from sonant.codec import Codec
from sonant.engine.backend import Precision

BITRATE = 6.0
HERE = Path(__file__).parent
LONGEST_WHOLE = 120


def sonant_peer(name: str, codec: Codec) -> Peer:
    """Our codec as the others are called."""
    return Peer(
        name,
        lambda wav: codec.encode(wav, bitrate=BITRATE),
        codec.decode,
        lambda codes: codes.values,
    )


def codecs(model: Any, kind: str) -> dict[str, Codec]:
    """Ours in both precisions, with an official model's weights and at 24 kHz with the bundled ones."""
    both: tuple[Precision, ...] = ("float32", "int8")
    named = {f"sonant, {precision}": sonant_of(model, kind, precision) for precision in both}
    if kind == "24khz":
        named |= {
            f"{bundled}, {precision}": sonant.load(bundled, precision=precision, beam=1)
            for bundled in ("24khz", "24khz_large")
            for precision in both
        }
    return named


def network_speeds(kind: str, seconds: float, rounds: int) -> dict[str, dict[str, float]]:
    """× real time of every peer's encoding and decoding, and the share of codes equal to ours."""
    model = official_model(kind, BITRATE)
    codec = sonant_of(model, kind)
    wav = noise(codec, seconds)
    peers = [official_peer(model), transformers_peer(codec, BITRATE)]
    if kind == "24khz":
        peers.append(onnx_peer(model, seconds, 1))
    peers += [sonant_peer(name, c) for name, c in codecs(model, kind).items()]
    coded = {peer.name: peer.encode(wav) for peer in peers}
    ours = codec.encode(wav, bitrate=BITRATE).values
    encoding = {p.name: (lambda p=p: p.encode(wav)) for p in peers}
    decoding = {p.name: (lambda p=p: p.decode(coded[p.name])) for p in peers}
    encode = real_time_factors(encoding, seconds, rounds)
    decode = real_time_factors(decoding, seconds, rounds)
    rows = {}
    for peer in peers:
        codes = np.asarray(peer.codes(coded[peer.name]))
        same = float(np.mean(codes == ours)) if codes.shape == ours.shape else float("nan")
        rows[peer.name] = {
            "encode": encode[peer.name],
            "decode": decode[peer.name],
            "codes equal to sonant's": same,
        }
    return rows


def file_speeds(seconds: float, rounds: int) -> dict[str, dict[str, float]]:
    """wav to .ecdc and back at 24 kHz; the official tool in memory, Sonant through real files."""
    model = official_model("24khz", BITRATE)
    peer, ours = official_files(model), codecs(model, "24khz")
    wav = noise(next(iter(ours.values())), seconds)
    data = peer.encode(wav)
    rows = {}
    with TemporaryDirectory() as folder:
        for name, codec in ours.items():
            home = Path(folder) / name
            home.mkdir()
            encode, decode = file_calls(codec, BITRATE, seconds, home).values()
            rows[name] = (encode, decode)
        rows["official"] = (lambda: peer.encode(wav), lambda: peer.decode(data))
        encoding = real_time_factors({name: pair[0] for name, pair in rows.items()}, seconds, rounds)
        decoding = real_time_factors({name: pair[1] for name, pair in rows.items()}, seconds, rounds)
    return {name: {"encode": encoding[name], "decode": decoding[name]} for name in rows}


def latencies(seconds: float) -> dict[str, dict[str, float]]:
    """Milliseconds for one frame, encode and decode, in a stream."""
    return {
        name: percentiles(frame_milliseconds(codec, BITRATE, seconds))
        for name, codec in codecs(official_model("24khz", BITRATE), "24khz").items()
    }


def official_process(seconds: float) -> list[str]:
    """A program that builds the official network and codes noise once."""
    program = (
        "import torch; torch.set_num_threads(1); from peers import official_model as m;"
        f"model = m('24khz', 6.0); x = torch.randn(1, 1, int({seconds} * 24000)) * .1\n"
        "with torch.no_grad(): model.decode(model.encode(x))"
    )
    return [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(HERE)!r}); {program}"]


def start_up(rounds: int) -> dict[str, float]:
    """Seconds of whole processes."""
    with TemporaryDirectory() as folder:
        wav = Path(folder) / "a.wav"
        soundfile.write(wav, noise(sonant.load(), 10)[0], 24_000)
        commands = {
            "sonant --help": [*SONANT, "--help"],
            "sonant encode of 10 s": [*SONANT, "encode", str(wav), "-f", "-o", f"{folder}/a.ecdc"],
            "official, 0.1 s there and back": official_process(0.1),
        }
        return {name: wall_seconds(command, rounds) for name, command in commands.items()}


def memory(lengths: list[float]) -> dict[str, dict[str, float]]:
    """Megabytes at most for lengths in seconds: pipes through Sonant, whole files in the official tool."""
    rows: dict[str, dict[str, float]] = {"sonant encode": {}, "sonant decode": {}, "official": {}}
    for length in lengths:
        key = f"{length:g}"
        rows["sonant encode"][key], rows["sonant decode"][key] = pipe_megabytes("24khz", 24_000, 1, length)
        if length <= LONGEST_WHOLE:
            rows["official"][key] = peak_megabytes(official_process(length))
    return rows


def tables(results: dict[str, Any]) -> str:
    """The results as Markdown."""
    parts = []
    for title, key in (
        ("24 kHz network, × real time", "network_24khz"),
        ("48 kHz stereo network, × real time", "network_48khz"),
        ("24 kHz, wav to .ecdc and back without language model, × real time", "file_24khz"),
        ("One frame of 13.3 ms, encode + decode, ms", "frame_milliseconds"),
        ("Peak memory in MB, by seconds of audio", "memory_megabytes"),
    ):
        rows = results[key]
        columns = list(dict.fromkeys(column for row in rows.values() for column in row))
        lines = [f"**{title}**", "", f"| | {' | '.join(columns)} |", "|---" + "|--:" * len(columns) + "|"]
        for name, row in rows.items():
            cells = [f"{row[c]:.4g}" if c in row and row[c] == row[c] else "–" for c in columns]
            lines.append(f"| {name} | {' | '.join(cells)} |")
        parts.append("\n".join(lines))
    lines = ["**Whole processes, s**", "", "| | s |", "|---|--:|"]
    lines += [f"| {name} | {value:.2f} |" for name, value in results["start_up_seconds"].items()]
    return "\n\n".join([*parts, "\n".join(lines)])


def plot(results: dict[str, Any], path: Path) -> None:
    """Speeds, latencies and memory side by side."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 3.6))
    rows = results["network_24khz"]
    places = np.arange(len(rows))
    for shift, direction in ((-0.2, "encode"), (0.2, "decode")):
        left.barh(places + shift, [row[direction] for row in rows.values()], 0.4, label=direction)
    left.set_yticks(places, rows)
    left.invert_yaxis()
    left.set_xlabel("× real time, one thread, 24 kHz")
    left.legend()
    for name, row in results["frame_milliseconds"].items():
        middle.plot(list(row), list(row.values()), marker="o", label=name)
    middle.axhline(1000 / 75, color="grey", linestyle=":", label="duration of a frame")
    middle.set_ylabel("ms for a frame, encode + decode")
    middle.set_ylim(bottom=0)
    middle.legend()
    for name, row in results["memory_megabytes"].items():
        right.plot([float(s) for s in row], list(row.values()), marker="o", label=name)
    right.set_xscale("log")
    right.set_yscale("log")
    right.set_xlabel("seconds of audio")
    right.set_ylabel("peak memory, MB")
    right.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    """Run everything."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", type=float, nargs="+", default=[30, 120, 1200])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    measurements: dict[str, Callable[[], Any]] = {
        "network_24khz": lambda: network_speeds("24khz", options.seconds, options.rounds),
        "network_48khz": lambda: network_speeds("48khz", options.seconds, options.rounds),
        "file_24khz": lambda: file_speeds(options.seconds, options.rounds),
        "frame_milliseconds": lambda: latencies(6 * options.seconds),
        "start_up_seconds": lambda: start_up(options.rounds),
        "memory_megabytes": lambda: memory(options.memory),
    }
    results: dict[str, Any] = {
        "command": " ".join(["python", *sys.argv]),
        "commit": subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True, check=False
        ).stdout.strip(),
        "machine": f"{platform.machine()} {platform.system()}, Python {platform.python_version()}, "
        f"PyTorch {torch.__version__}, ONNX Runtime {onnxruntime.__version__}",
    }
    for name, measure in measurements.items():
        results[name] = measure()
        print(f"{name} done", file=sys.stderr, flush=True)
    print(tables(results))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    if options.plot:
        plot(results, options.plot)


if __name__ == "__main__":
    main()
