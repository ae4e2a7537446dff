"""How fast a codec's networks, streams and files are, and how long a frame takes.

Speeds are seconds of audio for each second of processor time of this process, so that other programs
do not count; all subjects take turns, and the best turn of each counts. Latencies are of the clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soundfile

from sonant.audio import Audio
from sonant.codec import Codec
from sonant.files import compress, decompress
from sonant.language_models import language_model
from sonant.streams import finish_all, push_all

Call = Callable[[], object]

PERCENTILES = (50, 90, 99, 99.9)
WARM_UP_FRAMES = 20


def noise(codec: Codec, seconds: float) -> Audio:
    """Noise at the model's rate; speed does not depend on what is coded."""
    shape = (codec.config.channels, round(seconds * codec.config.sample_rate))
    return (0.1 * np.random.default_rng(0).standard_normal(shape)).astype(np.float32)


def real_time_factors(
    calls: Mapping[str, Call], seconds: float, rounds: int, by_the_clock: bool = False
) -> dict[str, float]:
    """× real time of calls that each process `seconds` of audio, in turns after a warm-up.

    The time of the process does not count what else the machine does; but it counts every thread, and no
    GPU: with those only the clock says how long a call lasts.
    """
    clock = time.perf_counter if by_the_clock else time.process_time
    best = dict.fromkeys(calls, float("inf"))
    for number in range(rounds + 1):
        for name, call in calls.items():
            start = clock()
            call()
            if number:
                best[name] = min(best[name], clock() - start)
    return {name: seconds / duration for name, duration in best.items()}


def codec_calls(codec: Codec, bitrate: float, seconds: float) -> dict[str, Call]:
    """Samples to codes and back, in blocks, frame by frame, and eight recordings at once."""
    wav = noise(codec, seconds)
    codes = codec.encode(wav, bitrate=bitrate)
    parts = np.array_split(wav, 8, axis=1)
    part_codes = codec.encode_batch(parts, bitrate=bitrate)
    calls: dict[str, Call] = {
        "encode": lambda: codec.encode(wav, bitrate=bitrate),
        "decode": lambda: codec.decode(codes),
        "encode, batch of 8": lambda: codec.encode_batch(parts, bitrate=bitrate),
        "decode, batch of 8": lambda: codec.decode_batch(part_codes),
    }
    if codec.config.streams:
        hop = codec.config.hop_length

        def frame_by_frame() -> None:
            encoder, decoder = (
                codec.encoder(bitrate, low_latency=True),
                codec.decoder(low_latency=True),
            )
            for start in range(0, wav.shape[1], hop):
                decoder.push(encoder.push(wav[:, start : start + hop]))

        def eight_streams() -> None:
            encoders = [codec.encoder(bitrate, low_latency=True) for _ in parts]
            decoders = [codec.decoder(low_latency=True) for _ in parts]
            for start in range(0, min(part.shape[1] for part in parts), hop):
                push_all(decoders, push_all(encoders, [part[:, start : start + hop] for part in parts]))
            push_all(decoders, finish_all(encoders))

        calls["stream, encode + decode"] = frame_by_frame
        calls["8 streams, encode + decode"] = eight_streams
    return calls


def file_calls(
    codec: Codec, bitrate: float, seconds: float, folder: Path, lm: bool | None = False
) -> dict[str, Call]:
    """wav to .ecdc and back; `lm` as for `compress`."""
    kind = ", --no-lm" if lm is False else ""
    wav, coded, decoded = folder / "in.wav", folder / f"a{kind}.ecdc", folder / "out.wav"
    soundfile.write(wav, noise(codec, seconds).T, codec.config.sample_rate)
    compress(wav, coded, model=codec, bitrate=bitrate, lm=lm)
    return {
        f"wav to .ecdc{kind}": lambda: compress(
            wav, coded, model=codec, bitrate=bitrate, lm=lm, overwrite=True
        ),
        f".ecdc to wav{kind}": lambda: decompress(coded, decoded, model=codec, overwrite=True),
    }


def speeds(codec: Codec, bitrate: float, seconds: float, rounds: int) -> dict[str, float]:
    """× real time of everything above."""
    with TemporaryDirectory() as folder:
        calls = codec_calls(codec, bitrate, seconds)
        for lm in (None, False) if language_model(codec) else (None,):
            calls |= file_calls(codec, bitrate, seconds, Path(folder), lm)
        backend = codec.engine.backend
        by_the_clock = backend.threads > 1 or backend.device != "cpu"
        return real_time_factors(calls, seconds, rounds, by_the_clock)


def frame_milliseconds(codec: Codec, bitrate: float, seconds: float) -> list[float]:
    """The time that each frame takes to be encoded and decoded, in a stream of `seconds`."""
    wav, hop = noise(codec, seconds), codec.config.hop_length
    encoder, decoder = codec.encoder(bitrate, low_latency=True), codec.decoder(low_latency=True)
    times = []
    for start in range(0, wav.shape[1] - hop + 1, hop):
        begin = time.perf_counter()
        decoder.push(encoder.push(wav[:, start : start + hop]))
        times.append(1000 * (time.perf_counter() - begin))
    return times[min(WARM_UP_FRAMES, len(times) // 2) :]


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """Named as in `p99`."""
    return {f"p{p:g}": float(np.percentile(values, p)) for p in PERCENTILES}
