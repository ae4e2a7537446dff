"""How a batch is shared out over the processes that train together."""

from __future__ import annotations

from sonant.errors import ConfigError


def share_of_a_rank(batch_size: int, ranks: int) -> int:
    """Items of every rank's part of a batch.

    Raises:
        ConfigError: if they cannot be equal.
    """
    share, rest = divmod(batch_size, ranks)
    if rest:
        raise ConfigError(f"a batch of {batch_size} cannot be shared by {ranks} processes")
    return share
