"""The official float language model, for version 0 files that need it; PyTorch is imported to load it.

Float arithmetic differs from machine to machine, so such a file is sure to decode only where it was
made: the reason why version 1 files use the integer model.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sonant.config import CodecConfig
from sonant.entropy.arithmetic import Cumulative, cumulative_ranges
from sonant.errors import WeightsError, extra_missing

if TYPE_CHECKING:
    from sonant.nn.language_model import LanguageModel

PAST_SECONDS = 3.5


class FloatRun:
    """The state of one run over the frames of one segment."""

    def __init__(self, model: LanguageModel, n_q: int) -> None:
        import torch

        self._torch = torch
        self._model = model
        self._previous = torch.zeros(1, n_q, 1, dtype=torch.long)
        self._state: Any = None
        self._position = 0

    def ranges(self) -> Cumulative:
        """Ends of the shares of every code of the next step, `[n_q, bins]`."""
        with self._torch.no_grad():
            logits, self._state = self._model(self._previous, self._state, self._position)
            probabilities = self._torch.softmax(logits[0, 0].t()[None, :, :, None], dim=1)
        self._position += 1
        return cumulative_ranges(np.ascontiguousarray(probabilities[0, :, :, 0].numpy().T))

    def push(self, codes: NDArray[np.int16]) -> None:
        """Tell the model the codes `[n_q]` of the step that was predicted last."""
        self._previous = 1 + self._torch.from_numpy(codes.astype(np.int64)).view(1, -1, 1)


class FloatLanguageModel:
    """An official language model, ready to code version 0 files."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        self.n_q = model.config.n_q
        self.bins = model.config.bins

    def start(self, n_q: int) -> FloatRun:
        """A fresh run with `n_q` codebooks."""
        return FloatRun(self._model, n_q)


def load_float_lm(path: Path, config: CodecConfig) -> FloatLanguageModel:
    """Load official language model weights, `.th` or safetensors.

    Raises:
        MissingDependencyError: without PyTorch.
        WeightsError: if the file cannot be read or is of another model.
    """
    try:
        import torch
        from safetensors.torch import load_file

        from sonant.nn.language_model import from_official
    except ImportError:
        raise extra_missing("files coded with the official language model need PyTorch", "train") from None
    try:
        if path.suffix == ".safetensors":
            tensors = load_file(path)
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WeightsError(f"{path}: cannot read the language model ({error})") from None
    model = from_official(tensors, config.name, int(PAST_SECONDS * config.frame_rate))
    if model.config.bins != config.bins:
        raise WeightsError(f"{path}: is a language model for {model.config.bins} codes, not {config.bins}")
    return FloatLanguageModel(model)
