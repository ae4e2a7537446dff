"""The same work on a Ray cluster, through Ray Data; the workers only need to read the audio."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from sonant.codes import Codes
from sonant.errors import SonantError, extra_missing
from sonant.parallel import attempt
from sonant.tokenizing.inputs import Item
from sonant.tokenizing.work import Settings, Tokenizer


class Worker:
    """A tokenizer in an actor; codes travel as bytes."""

    def __init__(self, settings: Settings) -> None:
        self._tokenizer = Tokenizer(settings)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Code one recording."""
        result = attempt(self._tokenizer, Item(row["path"], row["name"]))
        if isinstance(result, SonantError):
            return {**row, "error": str(result), "codes": b"", "n_q": 0, "length": 0, "scales": b""}
        scales = b"" if result.scales is None else result.scales.tobytes()
        return {
            **row,
            "error": "",
            "codes": result.values.tobytes(),
            "n_q": result.n_q,
            "length": result.length,
            "scales": scales,
        }


def check_ray() -> None:
    """See that Ray is here.

    Raises:
        MissingDependencyError: if it is not.
    """
    try:
        import ray.data  # noqa: F401
    except ImportError:
        raise extra_missing("--engine ray needs Ray", "ray") from None


def on_ray(
    settings: Settings, items: Sequence[Item], jobs: int
) -> Iterator[tuple[Item, Codes | SonantError]]:
    """Every recording with its codes or its error, in order.

    The cluster is the one that `RAY_ADDRESS` names, or else a local one, started and stopped here.
    """
    import ray
    import ray.data

    if not items:
        return
    started = not ray.is_initialized()
    if started:
        ray.init(log_to_driver=False, logging_level="ERROR", include_dashboard=False)
    try:
        context = ray.data.DataContext.get_current()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        rows = [{"path": item.path, "name": item.name} for item in items]
        dataset = ray.data.from_items(rows, override_num_blocks=min(len(rows), 4 * jobs + len(rows) // 64))
        dataset = dataset.map(Worker, fn_constructor_args=(settings,), concurrency=(1, jobs), num_cpus=1)
        for row in dataset.iter_rows():
            yield Item(row["path"], row["name"]), _result(row)
    finally:
        if started:
            ray.shutdown()


def _result(row: dict[str, Any]) -> Codes | SonantError:
    if row["error"]:
        return SonantError(row["error"])
    values = np.frombuffer(row["codes"], np.int16).reshape(row["n_q"], -1)
    scales = np.frombuffer(row["scales"], np.float32) if row["scales"] else None
    return Codes(values, row["length"], scales)
