"""The language model in whole numbers: the same frequencies on any CPU, BLAS, batch and block size.

The network is that of `sonant.nn.language_model` (paper, section 3.3), its weights int8, its
activations whole numbers of 10 to 12 bits, its exponentials, GELU and positions tables that come with
the weights. How exactness is kept: `sonant.entropy.integer_ops`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sonant.config import LanguageModelConfig
from sonant.entropy.checked_tensors import CheckedTensors, Tensors
from sonant.entropy.integer_layers import (
    ACTIVATION_LIMIT,
    ATTENDED_STEPS,
    QUERY_LIMIT,
    RESIDUAL_LIMIT,
    RESIDUAL_STEPS,
    FeedForward,
    Layer,
)
from sonant.entropy.integer_ops import (
    EXACT_FLOAT32,
    EXACT_FLOAT64,
    Whole,
    Wide,
    cumulative_frequencies,
    exponentials,
    exponents,
    intervals,
    product,
    rescale,
)
from sonant.entropy.range_coder import TOTAL
from sonant.errors import WeightsError

STEPS_AT_ONCE = 64


class State:
    """Keys and values of the steps so far, of every layer, for several sequences side by side.

    Args:
        shape: `(layers, lanes, heads, steps, channels)`, `steps` being the most there can be.
    """

    def __init__(self, shape: tuple[int, int, int, int, int]) -> None:
        self.keys = np.empty(shape, np.float32)
        self.values = np.empty(shape, np.float64)
        self.length = 0

    @property
    def position(self) -> int:
        """Steps done; one key and value more are there from the start."""
        return self.length - 1


class IntegerLanguageModel:
    """The quantised model, ready to predict.

    Args:
        config: its sizes.
        tensors: as `sonant.training.lm_quantise` makes them.
        digest: SHA-256 of the file they came from, in hexadecimal.

    Raises:
        WeightsError: if a tensor is missing or of a wrong shape, or a sum might not be exact.
    """

    def __init__(self, config: LanguageModelConfig, tensors: Tensors, digest: str = "") -> None:
        self.config, self.digest = config, digest
        self.n_q, self.bins = config.n_q, config.bins
        try:
            self._load(CheckedTensors(tensors), config)
        except KeyError as error:
            raise WeightsError(f"the language model lacks {error}") from None

    def _load(self, read: CheckedTensors, config: LanguageModelConfig) -> None:
        dim, bins, n_q = config.dim, config.bins, config.n_q
        positive = (n_q, bins, dim, config.num_heads, config.feed_forward)
        sizes = (*positive, config.num_layers, config.past_context, config.step_feed_forward)
        if not all(type(size) is int for size in sizes) or min(positive) < 1 or min(sizes) < 0:
            raise WeightsError("the language model's sizes make no sense")
        if config.step_feed_forward and not config.conditioned:
            raise WeightsError("the language model has step_feed_forward, but is not conditioned")
        if dim % config.num_heads:
            raise WeightsError(f"the language model's {dim} channels are not those of equal heads")
        self._embedding = read.table("emb", (n_q, bins + 1, dim))
        self._norm_in = read.norm("norm_in", dim)
        self._positions = read.whole("positions", (None, dim))
        self.max_frames = len(self._positions)
        if not self.max_frames:
            raise WeightsError("the language model has no positions")
        self._attention_table = read.exponentials("exp.attention")
        self._output_table = read.exponentials("exp.output")
        self._nats_per_place = _slope(self._output_table)
        self._layers = [read.layer(f"layers.{i}", config) for i in range(config.num_layers)]
        self._heads = [read.linear(f"heads.{k}", dim, bins, ACTIVATION_LIMIT) for k in range(n_q)]
        self._step_embedding: Whole | None = None
        self._step_feed_forward: list[FeedForward] = []
        if config.conditioned:
            self._step_embedding = read.table("step.emb", (n_q - 1, bins, dim))
            self._step_grid = np.float32(read.number("step.grid"))
            self._step_norm = read.norm("step.norm", dim)
            if config.step_feed_forward:
                channels = config.step_feed_forward
                self._step_feed_forward = [
                    read.feed_forward(f"step.{k}", dim, channels) for k in range(n_q)
                ]
        read.check_norm_inputs(self._embedding, self._step_embedding, dim)
        scores = (config.dim // config.num_heads) * QUERY_LIMIT**2
        sums = (self.max_frames + 1) * self._attention_table[0] * QUERY_LIMIT * ATTENDED_STEPS
        if 2 * scores >= EXACT_FLOAT32 or sums >= EXACT_FLOAT64:
            raise WeightsError("the language model's attention does not stay within exact arithmetic")
        if bins * self._output_table[0] * TOTAL >= EXACT_FLOAT64:
            raise WeightsError("the language model's softmax does not stay within exact arithmetic")

    def start(self, lanes: int, frames: int) -> State:
        """The state of `lanes` sequences of up to `frames` steps, `frames` ≤ `max_frames`.

        One key and value, made of zeros, are there before the first step.
        """
        config = self.config
        channels = config.dim // config.num_heads
        state = State((config.num_layers, lanes, config.num_heads, frames + 1, channels))
        for index, layer in enumerate(self._layers):
            origin = layer.query_key_value(np.zeros((lanes, 1, config.dim), np.float32), QUERY_LIMIT)
            _, state.keys[index, :, :, :1], state.values[index, :, :, :1] = self._split(origin)
        state.length = 1
        return state

    def forward(self, previous: NDArray[np.int64], state: State) -> Whole:
        """Outputs `[lanes, T, dim]` of the next T steps; the state moves on.

        Args:
            previous: `[lanes, n_q, T]`, one plus the code of the step before, 0 where there is none.
            state: of these sequences.
        """
        steps = previous.shape[2]
        x = self._embedding[0][previous[:, 0]]
        for k in range(1, previous.shape[1]):
            x = x + self._embedding[k][previous[:, k]]
        x = self._norm_in(x) + self._positions[state.position : state.position + steps]
        x = np.clip(x, -ACTIVATION_LIMIT, ACTIVATION_LIMIT)
        first = max(0, state.length - self.config.past_context)
        hidden = self._hidden(state.length - first, steps)
        for index, layer in enumerate(self._layers):
            attended = self._attend(layer, index, x, state, first, hidden)
            x = layer.norm1(x * np.float32(RESIDUAL_STEPS) + attended)
            x = layer.norm2(x * np.float32(RESIDUAL_STEPS) + layer.feed_forward(x))
        state.length += steps
        return x

    def _hidden(self, history: int, steps: int) -> NDArray[np.bool_] | None:
        """What a step must not see, `[T, history + T]`: what comes after it, and what is too long ago."""
        if steps == 1:
            return None
        distance = history + np.arange(steps)[:, None] - np.arange(history + steps)
        return (distance < 0) | (distance > self.config.past_context)

    def _split(self, qkv: Whole) -> tuple[Whole, Whole, Whole]:
        """`[B, T, 3 · dim]` to queries, keys and values `[B, heads, T, channels]`."""
        lanes, steps, _ = qkv.shape
        parts = qkv.reshape(lanes, steps, 3, self.config.num_heads, -1).transpose(2, 0, 3, 1, 4)
        return parts[0], parts[1], parts[2]

    def _attend(
        self,
        layer: Layer,
        index: int,
        x: Whole,
        state: State,
        first: int,
        hidden: NDArray[np.bool_] | None,
    ) -> Whole:
        lanes, steps, dim = x.shape
        query, key, value = self._split(layer.query_key_value(x, QUERY_LIMIT))
        stop = state.length + steps
        state.keys[index, :, :, state.length : stop] = key
        state.values[index, :, :, state.length : stop] = value
        scores = query @ state.keys[index, :, :, first:stop].transpose(0, 1, 3, 2)
        if hidden is not None:
            scores[:, :, hidden] = -EXACT_FLOAT32
        weights = exponentials(scores, layer.score_scale, self._attention_table)
        if hidden is not None:
            weights[:, :, hidden] = 0
        mixed = weights @ state.values[index, :, :, first:stop]
        mixed *= ATTENDED_STEPS
        mixed /= weights.sum(-1, keepdims=True)
        np.rint(mixed, out=mixed)
        joined = mixed.transpose(0, 2, 1, 3).reshape(lanes, steps, dim).astype(np.float32)
        return layer.attended(joined, RESIDUAL_LIMIT)

    def before_steps(self, values: NDArray[np.int16], block: int = STEPS_AT_ONCE) -> Whole:
        """What the codes of each step of a chunk `[n_q, T]` are added to, `[T, dim]`, a block at once."""
        n_q, frames = values.shape
        previous = np.zeros((1, n_q, frames), np.int64)
        previous[0, :, 1:] = values[:, :-1].astype(np.int64) + 1
        state = self.start(1, frames)
        parts = [
            self.forward(previous[:, :, first : first + block], state)[0]
            for first in range(0, frames, block)
        ]
        return self.before_books(np.concatenate(parts))

    def before_books(self, outputs: Whole) -> Whole:
        """What the codes of a step are added to, book by book (`with_code`), from `forward`'s outputs."""
        return outputs if self._step_embedding is None else outputs * self._step_grid

    def with_code(self, before: Whole, book: int, codes: NDArray[np.int64]) -> Whole:
        """`before` after book `book` of the step is known to be `codes`; shapes `[N, dim]`, `[N]`."""
        if self._step_embedding is None or book == self.n_q - 1:
            return before
        return before + self._step_embedding[book][codes]

    def cumulative(self, before: Whole, book: int) -> NDArray[np.int64]:
        """Where each code of a book starts, `[N, bins + 1]`, frequencies summing to 2**20."""
        return cumulative_frequencies(self._output_table.take(self._exponents(before, book)), TOTAL)

    def intervals(
        self, before: Whole, book: int, codes: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Start and width of `codes` `[N]` among those that `cumulative` gives."""
        return intervals(self._output_table.take(self._exponents(before, book)), codes, TOTAL)

    def logits(self, before: Whole, book: int) -> Whole:
        """Log-likelihoods `[N, bins]` in nats, all but their normalisation, as near as float32 comes."""
        scores = self._sums(before, book)
        scores *= self._heads[book].scale * self._nats_per_place
        return scores

    def _exponents(self, before: Whole, book: int) -> NDArray[np.intp]:
        """For each code of a book, the place of its exponential in the table of outputs, `[N, bins]`."""
        scores = rescale(self._sums(before, book), self._heads[book].scale, EXACT_FLOAT32 // 2 - 1)
        return exponents(scores, len(self._output_table))

    def _sums(self, before: Whole, book: int) -> Whole:
        x = before if self._step_embedding is None else self._step_norm(before)
        if self._step_feed_forward:
            x = (x + self._step_feed_forward[book](x)).clip(-ACTIVATION_LIMIT, ACTIVATION_LIMIT)
        sums = product(x, self._heads[book].weight)
        sums += self._heads[book].bias
        return sums


def _slope(table: Wide) -> np.float32:
    """By how much the logarithm of a table of exponentials falls from place to place."""
    place = max(1, int(np.count_nonzero(table * table >= table[0])) - 1)
    return np.float32(np.log(table[0] / max(table[min(place, len(table) - 1)], 1)) / place)
