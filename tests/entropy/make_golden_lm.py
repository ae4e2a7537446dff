"""Makes tests/data/lm: a small integer model and a file coded with it, to be decoded for ever.

Run once; the bytes must not change after that, on any machine.
"""

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from lm_files import MONO, random_codes, small_tensors
from sonant.entropy.lm_coder import encode_chunk
from sonant.entropy.lm_store import load_language_model, save_language_model

FOLDER = Path(__file__).parents[1] / "data" / "lm"

if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    config, tensors = small_tensors(n_q=4)
    save_language_model(FOLDER / "small.lm.safetensors", config, tensors, "00" * 32)
    codes = random_codes(MONO, 4, 96 * 320).values
    payload = encode_chunk(load_language_model(FOLDER / "small.lm.safetensors"), codes)
    save_file({"codes": codes, "payload": np.frombuffer(payload, np.uint8)}, FOLDER / "chunk.safetensors")
