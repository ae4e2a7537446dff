"""Coverage-guided fuzzing of the readers of .ecdc with Atheris (libFuzzer).

    python fuzz/fuzz_ecdc.py bytes -max_total_time=60
    python fuzz/fuzz_ecdc.py checksums corpus/checksums -runs=100000

The first argument is a target of `targets.py`; the others are libFuzzer's. A finding is written to
`crash-…`, an input too slow or too big to `timeout-…` or `oom-…`; give that file to run it again.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris
import numpy as np

with atheris.instrument_imports(include=["sonant", "targets"]):
    from targets import MONO, STEREO, TARGETS, small_lm

    from sonant.codes import Codes
    from sonant.container import version0, version1
    from sonant.container.writer import FileWriter

DEFAULTS = ["-timeout=20", "-rss_limit_mb=1024", "-max_len=4096"]


def seeds(folder: Path) -> None:
    """Small whole files of every kind."""
    random = np.random.default_rng(0)
    for number, (config, lm) in enumerate([(MONO, None), (MONO, small_lm()), (STEREO, None)]):
        length = config.sample_rate // 2
        segments = config.segments(length)
        frames = sum(config.frames_for(samples) for _, samples in segments)
        scales = random.random(len(segments), np.float32) if config.normalize else None
        codes = Codes(random.integers(0, 1024, (2, frames), np.int16), length, scales)
        header = version1.Header(
            config.name, "0" * 16, config.sample_rate, config.channels, 320, "0" * 16 if lm else None
        )
        with (folder / f"{number}.ecdc").open("wb") as file:
            writer = FileWriter(file, config, header, lm, 0.2)
            writer.write(codes)
            writer.finish()
        with (folder / f"{number}_version0.ecdc").open("wb") as file:
            version0.write(file, config, codes, config.name)


def main() -> None:
    """Fuzz the target named first."""
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"name a target: {', '.join(TARGETS)}")
    name, options = sys.argv[1], sys.argv[2:]
    with tempfile.TemporaryDirectory() as folder:
        seeds(Path(folder))
        atheris.Setup([sys.argv[0], *DEFAULTS, *options, folder], TARGETS[name])
        atheris.Fuzz()


if __name__ == "__main__":
    main()
