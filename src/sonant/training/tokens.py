"""A packed corpus as codes: made once, then a language model trains on them without any audio."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from sonant.codec import Codec
from sonant.config import CodecConfig
from sonant.errors import AudioError, ConfigError
from sonant.tensor_files import write_tensors
from sonant.training.corpus import Corpus, Crop
from sonant.training.file_problems import ATTEMPTS, FileProblems, none_readable
from sonant.whole_files import replacing

HASH_KEY, CHOICE_KEY = "sonant.coding_hash", "sonant.choice"
AHEAD = 32

Tokens = dict[str, NDArray[np.int16]]


def coding_hash(codec: Codec) -> str:
    """SHA-256 of what decides the codes: all weights but the decoder's, where −0 is 0."""
    digest = hashlib.sha256()
    for name in sorted(codec.weights):
        if not name.startswith("decoder."):
            digest.update(name.encode())
            digest.update((codec.weights[name] + 0.0).tobytes())
    return digest.hexdigest()


def choice(pack: str, hours: Mapping[str, float], seconds: float, n_q: int) -> str:
    """What tokens are made of, as text."""
    wanted = {kind: float(amount) for kind, amount in hours.items() if amount}
    asked = {"pack": str(Path(pack).resolve()), "hours": wanted, "seconds": float(seconds), "n_q": n_q}
    return json.dumps(asked, sort_keys=True)


def samples_of_a_crop(config: CodecConfig, seconds: float) -> int:
    """Samples of a crop of some seconds."""
    return int(seconds * config.sample_rate)


def frames_of_a_crop(config: CodecConfig, seconds: float) -> int:
    """Frames that code a crop of some seconds, those of all its segments."""
    segments = config.segments(samples_of_a_crop(config, seconds))
    return sum(config.frames_for(samples) for _, samples in segments)


def readable_passage(
    corpus: Corpus, kind: str, length: int, random: np.random.Generator, problems: FileProblems
) -> Crop:
    """`[length, channels]` of a kind, drawn again where a file cannot be read, which `problems` notes.

    Raises:
        AudioError: if attempt after attempt met such a file.
    """
    for _ in range(ATTEMPTS):
        try:
            return corpus.passage(kind, length, random)
        except AudioError as error:
            problem = str(error)
            problems.note([problem])
    raise none_readable(problem)


def tokenise(
    codec: Codec,
    corpus: Corpus,
    hours: Mapping[str, float],
    seconds: float,
    n_q: int,
    seed: int = 0,
    threads: int = 1,
) -> Iterator[tuple[str, NDArray[np.int16]]]:
    """Code random crops; yields `(kind, codes [n_q, frames])` one crop after the other.

    Files that cannot be read are told of and left out.

    Args:
        codec: lower bitrates than that of `n_q` are the first codebooks.
        corpus: at the codec's rate and channels.
        hours: how much of each `<split>-<kind>`.
        seconds: length of a crop.
        n_q: codebooks, of one of the codec's bitrates or all of them.
        seed: of the choice of crops.
        threads: each codes crops of its own.

    Raises:
        ConfigError: before anything is coded, if the corpus has nothing of a kind.
        AudioError: if attempt after attempt met a file that cannot be read.
    """
    for kind, amount in hours.items():
        if amount:
            corpus.check_has(kind)
    random, problems = np.random.default_rng(seed), FileProblems()
    length = samples_of_a_crop(codec.config, seconds)
    enough = [b for b in codec.config.bandwidths if codec.config.codebooks_for(b) >= n_q]
    bitrate = min(enough, default=max(codec.config.bandwidths))

    def code(crop: NDArray[np.float32]) -> NDArray[np.int16]:
        return codec.encode(crop.T, bitrate=bitrate).values[:n_q]

    with ThreadPoolExecutor(threads) as pool:
        for kind, amount in hours.items():
            left = max(1, round(amount * 3600 / seconds)) if amount else 0
            while left:
                ahead = range(min(left, AHEAD))
                crops = [readable_passage(corpus, kind, length, random, problems) for _ in ahead]
                left -= len(crops)
                for codes in pool.map(code, crops):
                    yield kind, codes
    problems.report()


def save_tokens(
    path: Path,
    codec: Codec,
    corpus: Corpus,
    hours: Mapping[str, float],
    seconds: float,
    n_q: int,
    chosen: str,
    threads: int = 1,
) -> None:
    """Tokenise into one file with its `choice`: for each kind an int16 array `[crops, n_q, frames]`."""
    crops: dict[str, list[NDArray[np.int16]]] = {}
    for kind, codes in tokenise(codec, corpus, hours, seconds, n_q, threads=threads):
        crops.setdefault(kind, []).append(codes)
    path.parent.mkdir(parents=True, exist_ok=True)
    stacked = {kind: np.stack(codes) for kind, codes in crops.items()}
    with replacing(path) as temporary:
        made = {HASH_KEY: coding_hash(codec), CHOICE_KEY: chosen}
        write_tensors(temporary, stacked, made)


def load_tokens(path: Path, codec: Codec, chosen: str | None = None) -> Tokens:
    """What `save_tokens` wrote for this codec, or one of another decoder.

    Args:
        chosen: the `choice` that it has to be of; None for any.

    Raises:
        ConfigError: if it cannot be read, or was made with another encoder, other codebooks or another
            choice.
    """
    try:
        with safe_open(path, framework="np") as file:
            made_with = file.metadata() or {}
            tokens = {kind: file.get_tensor(kind) for kind in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ConfigError(f"{path}: cannot read the tokens ({error})") from None
    if made_with.get(HASH_KEY) != coding_hash(codec):
        raise ConfigError(f"{path}: was made with another encoder or other codebooks; delete it")
    if chosen not in (None, made_with.get(CHOICE_KEY)):
        raise ConfigError(
            f"{path}: was made with another pack, other hours, crop_seconds or model.n_q; delete it"
        )
    return tokens
