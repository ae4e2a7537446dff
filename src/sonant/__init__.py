"""Sonant: EnCodec, complete and practical.

import sonant

codec = sonant.load()
codes = codec.encode(wav, sample_rate=44_100, bitrate=6.0)
wav = codec.decode(codes)
sonant.compress("talk.wav", "talk.ecdc")
sonant.decompress("talk.ecdc", "back.wav")
with sonant.open("talk.ecdc") as file:
    file.seek(30.0)
    part = file.read(5.0)
    codes = list(file.codes())
sonant.write(codes, "copy.ecdc", codec)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sonant.code_files import write
    from sonant.codec import Codec
    from sonant.codes import Codes
    from sonant.errors import SonantError
    from sonant.files import compress, decompress
    from sonant.loading import load
    from sonant.recording import Recording, open

__version__ = "0.1.0"

__all__ = [
    "Codec",
    "Codes",
    "Recording",
    "SonantError",
    "__version__",
    "compress",
    "decompress",
    "load",
    "open",
    "write",
]

_HOMES = {
    "Codec": "sonant.codec",
    "Codes": "sonant.codes",
    "SonantError": "sonant.errors",
    "compress": "sonant.files",
    "decompress": "sonant.files",
    "Recording": "sonant.recording",
    "load": "sonant.loading",
    "open": "sonant.recording",
    "write": "sonant.code_files",
}


def __getattr__(name: str) -> Any:
    """Import the public names when they are first used, so that `import sonant` takes no time."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'sonant' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Also what is not imported yet, for `help(sonant)` and completion."""
    return sorted({*globals(), *__all__})
