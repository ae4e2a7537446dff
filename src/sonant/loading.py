"""From the name of a model to a codec."""

from __future__ import annotations

from pathlib import Path

from sonant.codec import Codec
from sonant.engine.backend import Backend, Device, Precision
from sonant.errors import WeightsError, printable
from sonant.models.registry import is_known, load_model

DEFAULT_MODEL = "24khz"
BEAM = 4


def load(
    model: str | Path = DEFAULT_MODEL,
    *,
    threads: int = 1,
    precision: Precision = "float32",
    device: Device = "cpu",
    beam: int | None = None,
) -> Codec:
    """Load a codec.

    Args:
        model: a bundled name (`24khz`), an official one (`encodec_24khz`, fetched from the hub), a
            weights file or folder in our layout, the official one or that of 🤗 Transformers, or a
            hub id.
        threads: for each call into the networks; results do not depend on it beyond rounding.
        precision: `int8` takes about half the time of `float32`, the reference, in 24 kHz models of 32
            filters, and five sixths of it in the bundled `24khz`, at nearly the same quality
            (docs/speed.md); codes differ, files of either are decoded by both.
        device: `cuda` is the first CUDA device, for the onnxruntime-gpu package.
        beam: how widely codes are searched for (`Codec`); by default 4, and 1 for weights in the official
            or the Transformers layout, so that codes are those of the official code.

    Raises:
        ConfigError: if this ONNX Runtime has not the device, or `beam` is less than 1.
        WeightsError: if the model cannot be found or read, or is damaged.
    """
    try:
        config, weights, digest, shared, path = load_model(str(model))
    except OSError as error:
        raise WeightsError(
            f"{error.filename or model}: cannot be read ({error.strerror or error})"
        ) from None
    beam = beam if beam is not None else 1 if shared else BEAM
    return Codec(config, weights, digest, path, Backend(threads, precision, device), beam)


def load_named(
    model: str | Path,
    *,
    threads: int = 1,
    precision: Precision = "float32",
    device: Device = "cpu",
) -> Codec:
    """As `load`, for a name out of a file: what a stranger wrote is no path to open and nothing to fetch.

    Raises:
        WeightsError: if it is neither a bundled nor an official model.
    """
    if not is_known(str(model)):
        raise WeightsError(f"was made with {printable(str(model))}, which has to be given with -m")
    return load(model, threads=threads, precision=precision, device=device)
