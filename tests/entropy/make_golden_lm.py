"""Makes tests/data/lm: small integer models and a chunk coded with each, to be decoded for ever.

Run once for each; the bytes must not change after that, on any machine.
"""

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from lm_files import MONO, random_codes, small_tensors
from sonant.entropy.lm_coder import encode_chunk
from sonant.entropy.lm_store import load_language_model, save_language_model

FOLDER = Path(__file__).parents[1] / "data" / "lm"


def make(name: str, feed_forward: int) -> None:
    """`NAME.lm.safetensors` and `NAME.chunk.safetensors`, if they are not there."""
    model, chunk = FOLDER / f"{name}.lm.safetensors", FOLDER / f"{name}.chunk.safetensors"
    if model.exists():
        return
    config, tensors = small_tensors(n_q=4, feed_forward=feed_forward)
    save_language_model(model, config, tensors, "00" * 32)
    codes = random_codes(MONO, 4, 96 * 320).values
    payload = encode_chunk(load_language_model(model), codes)
    save_file({"codes": codes, "payload": np.frombuffer(payload, np.uint8)}, chunk)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    make("small", 0)
    make("small_feed_forward", 48)
