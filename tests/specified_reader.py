"""A reader of version 1 files written from docs/format.md alone, with integers and nothing of Sonant's."""

import json
import struct
import zlib
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
L = 2047


def chunks(data: bytes) -> tuple[dict[str, Any], list[tuple[int, int, int, int, int, bytes]]]:
    """The metadata, and (start, samples, frames, codebooks, coding, payload) of every chunk."""
    magic, version, size = struct.unpack(">4sBI", data[:9])
    assert (magic, version) == (b"ECDC", 1)
    values = json.loads(data[9 : 9 + size])
    assert struct.unpack(">I", data[9 + size : 13 + size])[0] == zlib.crc32(data[: 9 + size])
    place, found = 13 + size, []
    while data[place : place + 2] == b"\xec\xc1":
        n_q, coding = data[place + 2], data[place + 3]
        start = int.from_bytes(data[place + 4 : place + 10], "big")
        frames, missing, length = struct.unpack(">HHH", data[place + 10 : place + 16])
        payload = data[place + 20 : place + 20 + length]
        (crc,) = struct.unpack(">I", data[place + 16 : place + 20])
        assert crc == zlib.crc32(data[place : place + 16] + payload)
        found.append((start, frames * values["hop"] - missing, frames, n_q, coding, payload))
        place += 20 + length
    assert data[place : place + 2] == b"\xec\xe1" and data[-4:] == b"ECIX"
    return values, found


def unpacked(payload: bytes, frames: int, n_q: int, bits: int = 10) -> Array:
    """Packed codes as `[n_q, frames]`."""
    number = int.from_bytes(payload, "little")
    codes = [number >> (bits * i) & ((1 << bits) - 1) for i in range(frames * n_q)]
    return np.array(codes).reshape(frames, n_q).T


class Coder:
    """The range coder."""

    def __init__(self, payload: bytes) -> None:
        head = (len(payload) - 1) % 4 + 1
        self.x = int.from_bytes(payload[:head], "big")
        self.words = list(struct.unpack(f">{(len(payload) - head) // 4}I", payload[head:]))
        self.refill()

    def refill(self) -> None:
        while self.x < 1 << 31 and self.words:
            self.x = (self.x << 32) + self.words.pop(0)

    def symbol(self, starts: list[int]) -> int:
        s = self.x % (1 << 20)
        symbol = max(j for j in range(len(starts) - 1) if starts[j] <= s)
        c, f = starts[symbol], starts[symbol + 1] - starts[symbol]
        self.x = f * (self.x >> 20) + s - c
        self.refill()
        return symbol


class Model:
    """The language model, one step at a time."""

    def __init__(self, config: dict[str, Any], tensors: dict[str, Array]) -> None:
        self.config, self.tensors = config, tensors
        self.past: list[list[tuple[Array, Array]]] = []
        for i in range(config["num_layers"]):
            _, key, value = self.qkv(i, np.zeros(config["dim"], np.int64))
            self.past.append([(key, value)])

    def linear(self, name: str, x: Array, limit: int) -> Array:
        sums = x @ self.tensors[f"{name}.weight"].astype(np.int64) + self.tensors[f"{name}.bias"]
        scaled = sums.astype(np.float32) * self.tensors[f"{name}.scale"]
        return np.clip(np.rint(scaled), -limit, limit).astype(np.int64)

    def norm(self, name: str, x: Array) -> Array:
        gain, bias, epsilon = (
            self.tensors[f"{name}.{part}"].astype(np.float64) for part in ("gain", "bias", "epsilon")
        )
        n, total, squares = len(x), int(x.sum()), int((x * x).sum())
        root = np.sqrt(np.float64(n * squares - total * total) + epsilon)
        return np.clip(np.rint((n * x - total) / root * gain + bias), -L, L).astype(np.int64)

    def qkv(self, i: int, x: Array) -> Array:
        joined = self.linear(f"layers.{i}.qkv", x, 511)
        return joined.reshape(3, self.config["num_heads"], -1)

    def table(self, name: str, book: int, row: int) -> Array:
        return self.tensors[name][book, row].astype(np.int64) << int(self.tensors[f"{name}.shift"][book])

    def step(self, t: int, previous: list[int]) -> Array:
        x = sum(self.table("emb", k, row) for k, row in enumerate(previous))
        x = np.clip(self.norm("norm_in", x) + self.tensors["positions"][t], -L, L)  # type: ignore[arg-type]
        for i in range(self.config["num_layers"]):
            x = self.norm(f"layers.{i}.norm1", 4 * x + self.attended(i, x))
            x = self.norm(f"layers.{i}.norm2", 4 * x + self.feed_forward(f"layers.{i}", x))
        return x

    def feed_forward(self, name: str, x: Array) -> Array:
        hidden = self.linear(f"{name}.up", x, 1023)
        gelu = self.tensors[f"{name}.gelu"].astype(np.int64)[hidden + 1023]
        return self.linear(f"{name}.down", gelu, 1 << 15)

    def attended(self, i: int, x: Array) -> Array:
        query, key, value = self.qkv(i, x)
        self.past[i].append((key, value))
        seen = self.past[i][-(self.config["past_context"] + 1) :]
        table, scale = (
            self.tensors["exp.attention"].astype(np.int64),
            self.tensors[f"layers.{i}.score.scale"],
        )
        heads = []
        for head, q in enumerate(query):
            scores = np.array([q @ key[head] for key, _ in seen])
            below = np.rint((scores.max() - scores).astype(np.float32) * scale).astype(np.int64)
            weights = table[np.minimum(below, len(table) - 1)]
            mixed = sum(w * value[head] for w, (_, value) in zip(weights, seen, strict=True))
            heads.append(np.rint((2 * mixed).astype(np.float64) / weights.sum()).astype(np.int64))  # type: ignore[attr-defined]
        return self.linear(f"layers.{i}.attended", np.concatenate(heads), 1 << 15)

    def starts(self, book: int, x: Array) -> list[int]:
        if self.config["conditioned"]:
            x = self.norm("step.norm", x)
        if self.config.get("step_feed_forward", 0):
            x = np.clip(x + self.feed_forward(f"step.{book}", x), -L, L)
        scores = self.linear(f"heads.{book}", x, (1 << 23) - 1)
        table = self.tensors["exp.output"].astype(np.int64)
        sums = np.cumsum(table[np.minimum(scores.max() - scores, len(table) - 1)])
        bins = len(scores)
        ends = np.floor((sums * ((1 << 20) - bins)).astype(np.float64) / np.float64(sums[-1]))
        return [0, *(int(end) + j + 1 for j, end in enumerate(ends))]


def decoded(
    payload: bytes, frames: int, n_q: int, config: dict[str, Any], tensors: dict[str, Array]
) -> Array:
    """Codes `[n_q, frames]` of a chunk that was coded with the language model."""
    books = min(n_q, config["n_q"])
    bits = config["bins"].bit_length() - 1
    packed = ((n_q - books) * frames * bits + 7) // 8
    coder, model = Coder(payload[packed:]), Model(config, tensors)
    codes, previous = np.zeros((n_q, frames), np.int64), [0] * books
    codes[books:] = unpacked(payload[:packed], frames, n_q - books, bits)
    for t in range(frames):
        y = model.step(t, previous)
        if config["conditioned"]:
            y = y * int(tensors["step.grid"][0])
        for k in range(books):
            codes[k, t] = coder.symbol(model.starts(k, y))
            if config["conditioned"] and k < config["n_q"] - 1:
                y = y + model.table("step.emb", k, codes[k, t])
        previous = [1 + int(c) for c in codes[:books, t]]
    assert coder.x == 1 and not coder.words
    return codes
