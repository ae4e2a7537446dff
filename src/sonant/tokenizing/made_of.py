"""What audio was decoded from, as a comment in its file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import soundfile

from sonant.audio.libsndfile import file_name
from sonant.codec import Codec
from sonant.codes import Codes
from sonant.errors import SonantError

MAKER = "sonant detokenize"


def made_of(codec: Codec, codes: Codes) -> str:
    """The comment: who decodes, and a hash of the weights and the codes."""
    digest = hashlib.sha256(f"{codec.weights_hash} {codes.values.shape} {codes.length}".encode())
    digest.update(codes.values.tobytes())
    if codes.scales is not None:
        digest.update(codes.scales.tobytes())
    return f"{MAKER} {digest.hexdigest()}"


def is_there(target: Path, comment: str) -> bool:
    """Whether audio with this comment is there; what was made of other codes or by another model is not.

    Raises:
        SonantError: if what is there is not from here, and so is not to be replaced.
    """
    if not target.exists() or not target.stat().st_size:
        return False
    try:
        with soundfile.SoundFile(file_name(target)) as file:
            found = file.comment
    except soundfile.LibsndfileError:
        found = ""
    if not found.startswith(MAKER):
        raise SonantError(f"{target}: exists and is not from {MAKER}; remove it or choose another folder")
    return found == comment
