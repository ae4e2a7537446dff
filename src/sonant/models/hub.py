"""Weights from the Hugging Face hub: cached, checksum verified, with a sentence when offline."""

from __future__ import annotations

from pathlib import Path

from sonant.errors import WeightsError
from sonant.models.store import weights_hash


def download(repository: str) -> Path:
    """Fetch `config.json` and `model.safetensors` of a repository; returns their folder.

    Raises:
        WeightsError: if the hub cannot be reached and nothing is cached, there is no such model or it
            is not for everyone, there is no room, or the file is not the one that was announced.
    """
    from huggingface_hub import errors, hf_hub_download

    try:
        config = Path(hf_hub_download(repository, "config.json"))
        weights = Path(hf_hub_download(repository, "model.safetensors"))
    except (errors.HTTPError, errors.HFValidationError, OSError, RuntimeError) as error:
        raise WeightsError(f"{repository}: {_sentence(error)}") from None
    if weights.is_symlink():
        blob = weights.parent / weights.readlink()  # large files are kept under their SHA-256
        if len(blob.name) == 64 and blob.name != weights_hash(blob):
            raise WeightsError(f"{blob.resolve()}: is damaged (wrong checksum); delete it and try again")
    return config.parent


def _sentence(error: Exception) -> str:
    """What went wrong; errors of the network are not always OSErrors, those of Xet are RuntimeErrors."""
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return "is not open to all; ask for it on the hub and log in with `hf auth login`"
    if isinstance(error, errors.RepositoryNotFoundError | errors.HFValidationError):
        return "no such model on the hub; `sonant models` lists known ones"
    here = isinstance(error, errors.LocalEntryNotFoundError)
    if isinstance(error, errors.EntryNotFoundError) and not here:
        return "has no config.json with a model.safetensors, which a model is"
    network = isinstance(error, ConnectionError | TimeoutError)
    if isinstance(error, OSError) and error.errno and not network:
        return f"cannot be kept in the cache ({error.strerror})"
    return (
        "is not in the cache and the hub cannot be reached; connect once, or name a local file or folder "
        "with these weights"
    )
