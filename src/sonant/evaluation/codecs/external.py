"""Codecs of others as programs: any by two command templates, EVS by its reference binaries."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from sonant.audio import Audio, mix_channels, read_audio, resample
from sonant.errors import AudioError, ConfigError, MissingDependencyError
from sonant.evaluation.cache import content_hash
from sonant.evaluation.codecs.base import Payload

TIMEOUT_SECONDS = 600


def _program_hash(program: str, *arguments: str) -> str:
    """Hash of a program and of the files among its arguments, such as a script or weights."""
    path = shutil.which(program)
    if path is None:
        raise MissingDependencyError(f"{program}: no such program")
    files = [Path(path), *(Path(argument) for argument in arguments if Path(argument).is_file())]
    return content_hash(*(file.read_bytes() for file in files))


def _call(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise AudioError(f"{command[0]} did not finish in {TIMEOUT_SECONDS} s") from None
    except OSError as error:
        raise AudioError(f"{command[0]}: cannot be run ({error.strerror})") from None
    if done.returncode:
        said = done.stderr.strip() or done.stdout.strip() or b"it said nothing"
        last = said.decode(errors="replace").split("\n")[-1]
        raise AudioError(f"{command[0]} failed with code {done.returncode}: {last}")


class ExternalCodec:
    """A codec run as `encode` and `decode` commands with `{in}`, `{out}` and `{kbps}` in them.

    The encoder reads and the decoder writes a 16-bit WAV file; the size of the coded file counts.

    Raises:
        ConfigError: if a template has no `{in}` or `{out}`.
        MissingDependencyError: if a program is not there.
    """

    def __init__(self, name: str, encode: str, decode: str, kbps: float) -> None:
        for template in (encode, decode):
            if "{in}" not in template or "{out}" not in template:
                raise ConfigError(f"{name}: the command {template!r} must name {{in}} and {{out}}")
        self._encode, self._decode = shlex.split(encode), shlex.split(decode)
        self.family = name
        self.name = f"{name} {kbps:g}"
        self.kbps = kbps
        programs = content_hash(*(_program_hash(*parts) for parts in (self._encode, self._decode)))
        self.identity = f"external {encode!r} {decode!r} {kbps} {programs}"

    def _fill(self, template: Sequence[str], source: Path, target: Path) -> list[str]:
        values = {"{in}": str(source), "{out}": str(target), "{kbps}": f"{self.kbps:g}"}
        filled = []
        for part in template:
            for key, value in values.items():
                part = part.replace(key, value)
            filled.append(part)
        return filled

    def encode(self, audio: Audio, sample_rate: int) -> Payload:
        """The file that the encoder writes."""
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder, "in.wav"), Path(folder, "coded")
            soundfile.write(source, audio.T, sample_rate, subtype="PCM_16")
            _call(self._fill(self._encode, source, target))
            if not target.is_file():
                raise AudioError(f"{self.name}: the encoder wrote no file")
            data = target.read_bytes()
        return Payload(data, 8 * len(data))

    def decode(self, payload: Payload, sample_rate: int) -> Audio:
        """The WAV file that the decoder writes."""
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder, "coded"), Path(folder, "out.wav")
            source.write_bytes(payload.data)
            _call(self._fill(self._decode, source, target))
            if not target.is_file():
                raise AudioError(f"{self.name}: the decoder wrote no file")
            try:
                channels = soundfile.info(target).channels
            except soundfile.LibsndfileError:
                raise AudioError(f"{self.name}: the decoder wrote no audio") from None
            return read_audio(target, sample_rate, channels)[0]


class EvsCodec:
    """3GPP EVS by a user's own `EVS_cod` and `EVS_dec`, mono at 32 kHz through G.192 files.

    Raises:
        MissingDependencyError: if no folder with both programs is given.
    """

    _RATE = 32_000

    def __init__(self, folder: Path | None, kbps: float) -> None:
        if folder is None:
            raise MissingDependencyError("EVS needs its reference programs: --evs FOLDER")
        self._programs = [str(folder.resolve() / name) for name in ("EVS_cod", "EVS_dec")]
        self.family = "EVS"
        self.name = f"EVS {kbps:g}"
        self.kbps = kbps
        self.identity = f"evs {kbps} " + content_hash(*map(_program_hash, self._programs))

    def encode(self, audio: Audio, sample_rate: int) -> Payload:
        """A G.192 file: per frame a sync word, the count of bits, and one word per bit."""
        samples = resample(mix_channels(audio, 1), sample_rate, self._RATE)[0]
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder, "in.raw"), Path(folder, "out.192")
            source.write_bytes(np.rint(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
            rate = str(round(self.kbps * 1000))
            _call([self._programs[0], "-q", rate, str(self._RATE // 1000), str(source), str(target)])
            data = target.read_bytes()
        words = np.frombuffer(data, "<u2")
        bits, place = 0, 1
        while place < len(words):
            bits += int(words[place])
            place += int(words[place]) + 2
        return Payload(data, bits)

    def decode(self, payload: Payload, sample_rate: int) -> Audio:
        """Decode and return to the rate of the original."""
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder, "in.192"), Path(folder, "out.raw")
            source.write_bytes(payload.data)
            _call([self._programs[1], "-q", str(self._RATE // 1000), str(source), str(target)])
            samples = np.frombuffer(target.read_bytes(), "<i2").astype(np.float32) / np.float32(32768)
        return resample(samples[None], self._RATE, sample_rate)
