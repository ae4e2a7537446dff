"""`sonant bench`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer

from sonant.cli.options import Bitrate, Device, JsonFile, Model, Precision, Threads
from sonant.errors import ConfigError

MOST_SECONDS = 3600
"""Of noise that is held in memory."""
MOST_SECONDS_OF_MEMORY = 1_000_000


def bench(
    model: Model = "24khz",
    bitrate: Bitrate = None,
    seconds: Annotated[float, typer.Option(help="Seconds of audio per measurement, 1 to 3600.")] = 10.0,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds, of which the best counts.")] = 3,
    memory: Annotated[
        list[float] | None,
        typer.Option(help="Seconds of audio to measure memory at, by default 60; may be repeated."),
    ] = None,
    threads: Threads = 1,
    precision: Precision = "float32",
    device: Device = "cpu",
    json_file: JsonFile = None,
) -> None:
    """Measure speed, latency, start-up and memory on this machine."""
    import json
    import platform

    import sonant
    from sonant.benchmark.processes import SONANT, pipe_megabytes, wall_seconds
    from sonant.benchmark.speed import frame_milliseconds, percentiles, speeds

    lengths = memory or [60.0]
    _check_lengths(seconds, lengths)
    codec = sonant.load(model, threads=threads, precision=precision, device=device)
    config = codec.config
    kbps = config.chosen_bitrate(bitrate)
    if not all(round(length * config.sample_rate) for length in lengths):
        raise ConfigError("memory is measured at a sample of audio or more")
    options = ["--threads", str(threads), "--precision", precision, "--device", device]
    results: dict[str, Any] = {
        "sonant": sonant.__version__,
        "machine": f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
        "model": model,
        "bitrate": kbps,
        "threads": threads,
        "precision": precision,
        "device": device,
        "seconds": seconds,
        "x_real_time": speeds(codec, kbps, seconds, rounds),
        "start_up_seconds": {"sonant --help": wall_seconds([*SONANT, "--help"], rounds)},
    }
    if config.streams:
        results["frame_milliseconds"] = percentiles(frame_milliseconds(codec, kbps, seconds))
    results["memory_megabytes"] = {
        f"{length:g} s": dict(
            zip(
                ("encode", "decode"),
                pipe_megabytes(model, config.sample_rate, config.channels, length, kbps, options),
                strict=True,
            )
        )
        for length in lengths
    }
    for line in _lines(results, 1000 * config.hop_length / config.sample_rate):
        typer.echo(line)
    if json_file:
        json_file.write_text(json.dumps(results, indent=1) + "\n")


def _check_lengths(seconds: float, memory: Sequence[float]) -> None:
    if not 1 <= seconds <= MOST_SECONDS:
        raise ConfigError(f"speed is measured with 1 to {MOST_SECONDS} seconds of audio, not {seconds:g}")
    if not all(0 < length <= MOST_SECONDS_OF_MEMORY for length in memory):
        raise ConfigError(
            f"memory is measured at some seconds of audio, more than 0, at most {MOST_SECONDS_OF_MEMORY}"
        )


def _lines(results: Mapping[str, Any], frame: float) -> Iterator[str]:
    """The table for the terminal; `frame` in milliseconds."""
    for name, value in results["x_real_time"].items():
        yield f"{name:28} {value:8.1f} × real time"
    for name, value in results.get("frame_milliseconds", {}).items():
        yield f"{name + f' of a {frame:.1f} ms frame':28} {value:8.2f} ms"
    for name, value in results["start_up_seconds"].items():
        yield f"{name:28} {value:8.2f} s"
    for length, peaks in results["memory_megabytes"].items():
        for name, value in peaks.items():
            yield f"{f'memory, {name} {length}':28} {value:8.0f} MB"
