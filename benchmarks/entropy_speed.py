"""Files with the language model, written and read, beside the official implementation in the same run.

    OMP_NUM_THREADS=1 python benchmarks/entropy_speed.py AUDIO [--model 24khz] [--no-official]

One thread. Ours is wav to .ecdc and .ecdc to wav, files and all, at 6 kbit/s; the official one (`pip
install --no-deps encodec==0.1.1`) codes samples in memory, with random weights, since speed does not
depend on them. Prints seconds of audio per second, the best of several runs.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf

import sonant
from sonant.audio import read_audio

OFFICIAL_SECONDS = 4.0
BITRATE = 6.0
NEAREST: dict[str, Any] = {"rdo": 0.0, "beam": 1}


def best(call: Callable[[], Any], runs: int) -> float:
    """Seconds of the fastest of several runs, after one to warm up."""
    times = []
    for _ in range(runs + 1):
        begun = time.perf_counter()
        call()
        times.append(time.perf_counter() - begun)
    return min(times[1:])


def ours(options: argparse.Namespace) -> dict[str, float]:
    """Whole files: with the language model, with searched codes besides, and packed."""
    codec = sonant.load(options.model)
    rate = codec.config.sample_rate
    audio, _ = read_audio(options.audio, rate, codec.config.channels)
    audio = audio[:, : round(options.seconds * rate)]
    seconds = audio.shape[1] / rate
    result: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        wav, ecdc, back = (Path(folder) / name for name in ("a.wav", "a.ecdc", "b.wav"))
        sf.write(wav, audio.T, rate)
        ways = (
            ("searched", {"lm": True}),
            ("with_lm", NEAREST | {"lm": True}),
            ("packed", NEAREST | {"lm": False}),
        )
        for name, how in ways:
            encode = best(
                lambda how=how: sonant.compress(  # type: ignore[misc]
                    wav, ecdc, model=codec, bitrate=BITRATE, overwrite=True, **how
                ),
                options.runs,
            )
            decode = best(lambda: sonant.decompress(ecdc, back, model=codec, overwrite=True), options.runs)
            result |= {f"{name}_encode": seconds / encode, f"{name}_decode": seconds / decode}
    return result


def official(options: argparse.Namespace) -> dict[str, float]:
    """The official package on a clip in memory, with its language model."""
    import torch
    from peers import import_official, official_model

    model, compress = import_official()
    torch.set_num_threads(1)
    codec = official_model("48khz" if "48khz" in str(options.model) else "24khz", BITRATE)
    lm = model.LMModel(
        codec.quantizer.n_q, 1024, num_layers=5, dim=200, past_context=int(3.5 * codec.frame_rate)
    ).eval()
    codec.get_lm_model = lambda: lm
    compress.MODELS[codec.name] = lambda *args, **named: codec
    clip = torch.randn(codec.channels, round(OFFICIAL_SECONDS * codec.sample_rate)) * 0.1
    coded = compress.compress(codec, clip, use_lm=True)
    with torch.no_grad():
        encode = best(lambda: compress.compress(codec, clip, use_lm=True), 1)
        decode = best(lambda: compress.decompress(coded), 1)
    return {"official_encode": OFFICIAL_SECONDS / encode, "official_decode": OFFICIAL_SECONDS / decode}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("audio", type=Path)
    parser.add_argument("--model", default="24khz")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--no-official", action="store_true")
    options = parser.parse_args()
    result = ours(options)
    if not options.no_official:
        result |= official(options)
        for way in ("encode", "decode"):
            result[f"times_official_{way}"] = result[f"searched_{way}"] / result[f"official_{way}"]
    print(json.dumps({name: round(float(np.float64(value)), 2) for name, value in result.items()}))


if __name__ == "__main__":
    main()
