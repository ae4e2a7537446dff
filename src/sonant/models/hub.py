"""Weights from the Hugging Face hub: cached, checksum verified, with a sentence when offline."""

from __future__ import annotations

from pathlib import Path

from sonant.errors import WeightsError
from sonant.models.store import weights_hash


def download(repository: str) -> Path:
    """Fetch `config.json` and `model.safetensors` of a repository; returns their folder.

    Raises:
        WeightsError: if the hub cannot be reached and nothing is cached, there is no such model, or
            the file that came is not the one that was announced.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        config = Path(hf_hub_download(repository, "config.json"))
        weights = Path(hf_hub_download(repository, "model.safetensors"))
    except (RepositoryNotFoundError, HFValidationError):
        raise WeightsError(
            f"{repository}: no such model on the hub; `sonant models` lists known ones"
        ) from None
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError):
        raise WeightsError(
            f"{repository}: is not in the cache and the hub cannot be reached; connect once, or name "
            "a local file or folder with these weights"
        ) from None
    try:
        announced = get_hf_file_metadata(hf_hub_url(repository, "model.safetensors")).etag or ""
    except (HfHubHTTPError, OSError):
        return config.parent
    if len(announced) == 64 and announced != weights_hash(weights):
        raise WeightsError(f"{weights}: is damaged (wrong checksum); delete it and try again")
    return config.parent
