from __future__ import annotations

import io
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
import soxr

import sonant
from sonant.audio import Audio, read_audio
from sonant.errors import AudioError, ConfigError, MissingDependencyError
from sonant.evaluation.codecs import CodecSources, make_codec, make_codecs, round_trip
from sonant.evaluation.codecs import sonant as sonant_codec
from sonant.evaluation.codecs.av_codecs import AvCodec
from sonant.evaluation.codecs.external import EvsCodec, ExternalCodec
from sonant.evaluation.codecs.lyra import LyraCodec
from sonant.evaluation.codecs.sonant import SonantCodec, read_codes
from sonant.evaluation.metrics import METRICS
from sonant.evaluation.metrics.signal import best_lag

from .conftest import Halving

RATE = 24_000


def kbps(bits: int, audio: Audio) -> float:
    return bits * RATE / audio.shape[1] / 1000


@pytest.mark.parametrize(
    ("spec", "tolerance"), [("opus:24", 0.06), ("opus:12", 0.1), ("mp3:64", 0.03), ("aac:24", 0.05)]
)
def test_a_codec_gives_its_rate_length_and_place(spec: str, tolerance: float, music_24: Audio) -> None:
    codec = make_codec(spec, CodecSources())
    decoded, payload = round_trip(codec, music_24, RATE)
    assert decoded.shape == music_24.shape
    assert kbps(payload.bits, music_24) == pytest.approx(codec.kbps, rel=tolerance)
    assert abs(best_lag(music_24[0], decoded[0], RATE)) <= 1
    assert np.corrcoef(music_24[0], decoded[0])[0, 1] > 0.8, "in its place, not a frame beside it"


def test_opus_at_12_kbps_constrained_keeps_its_rate(music_file: Path) -> None:
    """Within 3 % on music; on speech with pauses the encoder saves more."""
    audio, _ = read_audio(music_file, RATE, 1)
    payload = make_codec("opus:12", CodecSources()).encode(audio, RATE)
    assert kbps(payload.bits, audio) == pytest.approx(12, rel=0.03)


def test_opus_gets_better_with_its_rate(music_24: Audio) -> None:
    measure = METRICS["visqol_audio"].measure
    codecs = [make_codec(f"opus:{rate}", CodecSources()) for rate in (6, 12, 24)]
    scores = [measure(music_24, round_trip(codec, music_24, RATE)[0], RATE) for codec in codecs]
    assert scores == sorted(scores)
    assert scores[0] + 0.3 < scores[2]


def test_sonant_is_counted_by_its_codes(speech_24: Audio) -> None:
    codec = SonantCodec("24khz", 6.0)
    payload = codec.encode(speech_24, RATE)
    codes = read_codes(payload)
    assert (codes.n_q, codes.frames, codes.length) == (8, 225, 3 * RATE)
    assert kbps(payload.bits, speech_24) == 6.0
    assert codec.decode(payload, RATE).shape == speech_24.shape
    assert "6" in codec.identity and codec.identity != SonantCodec("24khz", 3.0).identity


@pytest.fixture
def uncached() -> Iterator[None]:
    """Code identities are computed anew, here and after it."""
    sonant_codec.code_identity.cache_clear()
    yield
    sonant_codec.code_identity.cache_clear()


CODING = ("engine/layers", "codec", "codes", "segments", "stepping", "streams", "audio/convert")
FILES = ("entropy/lm_coder", "container/writer", "container/reader", "code_choice", "recording")


@pytest.mark.parametrize(
    ("spec", "name"),
    [*(("sonant:6", name) for name in CODING), *(("sonant-abr:6", name) for name in (*CODING, *FILES))],
)
def test_an_identity_changes_with_the_code(
    uncached: None, monkeypatch: pytest.MonkeyPatch, spec: str, name: str
) -> None:
    before = make_codec(spec, CodecSources()).identity
    assert f"soxr-{soxr.__version__}" in before
    read, changed = Path.read_bytes, Path(sonant.__file__).parent / f"{name}.py"
    monkeypatch.setattr(Path, "read_bytes", lambda path: read(path) + b"#" * (path == changed))
    sonant_codec.code_identity.cache_clear()
    assert make_codec(spec, CodecSources()).identity != before


def test_files_of_an_average_rate_keep_to_it_and_beat_codes_of_that_rate(speech_24: Audio) -> None:
    (average, plain), missing = make_codecs(["sonant-abr:6", "sonant:6"], CodecSources())
    assert (average.name, average.family, missing) == ("Sonant abr 6", "Sonant abr", {})
    decoded, payload = round_trip(average, speech_24, RATE)
    assert 5.3 < kbps(payload.bits, speech_24) <= 6.0
    measure = METRICS["si_snr"].measure
    other = round_trip(plain, speech_24, RATE)[0]
    assert measure(speech_24, decoded, RATE) > measure(speech_24, other, RATE) + 0.5
    stereo = make_codec("stereo-abr:6", CodecSources({"stereo": "48khz", "other-abr": "24khz"}))
    assert round_trip(stereo, speech_24[:, :24_000], RATE)[0].shape == (1, 24_000)
    assert make_codec("other-abr:6", CodecSources({"other-abr": "24khz"})).name == "other-abr 6"
    assert make_codecs(["sonant-abr:25"], CodecSources())[1]["sonant-abr:25"].startswith("an average")


class TwoBooks:
    """Stands in for a language model: the test replaces the coder that would ask it."""

    n_q, max_frames, digest = 8, 100, "x"


def test_the_entropy_coded_rate_counts_chunks_and_never_exceeds_packing(
    speech_24: Audio, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = SonantCodec("24khz", 6.0)
    payload = codec.encode(speech_24, RATE)
    monkeypatch.setattr(sonant_codec, "language_model", lambda model: None)
    assert codec.entropy_coded_bits(payload) is None
    monkeypatch.setattr(sonant_codec, "language_model", lambda model: TwoBooks())
    sizes = []
    monkeypatch.setattr(
        sonant_codec, "encode_chunk", lambda lm, values: sizes.append(values.shape) or bytes(700)
    )
    assert codec.entropy_coded_bits(payload) == 8 * (700 + 700 + 250), "packed where that is smaller"
    assert sizes == [(8, 100), (8, 100), (8, 25)]


def test_another_length_or_no_numbers_are_refused(speech_24: Audio) -> None:
    assert round_trip(Halving(cut=2000), speech_24, RATE)[0].shape == speech_24.shape
    with pytest.raises(AudioError, match=r"gave 2\.80 s for 3\.00 s"):
        round_trip(Halving(cut=4800), speech_24, RATE)
    with pytest.raises(AudioError, match="no numbers"):
        round_trip(Halving(gain=float("nan")), speech_24, RATE)


def test_what_is_not_there_is_a_reason() -> None:
    codecs, missing = make_codecs(
        ["reference", "opus:6", "lyra:3.2", "lyra:5", "evs:9.6", "vorbis:6", "opus"], CodecSources()
    )
    assert [codec.name for codec in codecs] == ["reference", "Opus 6"]
    assert missing["lyra:3.2"].endswith("--lyra FOLDER")
    assert "choose one of 3.2, 6, 9.2" in missing["lyra:5"]
    assert "--evs FOLDER" in missing["evs:9.6"]
    assert "choose among sonant, opus" in missing["vorbis:6"]
    assert "family:kbps" in missing["opus"]


COPY = f"{sys.executable} -c 'import shutil,sys; shutil.copy(sys.argv[1], sys.argv[2])' {{in}} {{out}}"


def test_an_external_codec_by_two_commands(speech_24: Audio) -> None:
    codec = ExternalCodec("copy", COPY, COPY, 384)
    decoded, payload = round_trip(codec, speech_24, RATE)
    assert np.abs(decoded - speech_24).max() < 1e-4
    assert payload.bits == 8 * (44 + 2 * 3 * RATE)
    assert codec.name == "copy 384"


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import sys; print('no licence', file=sys.stderr); sys.exit(3)", "failed with code 3: no licence"),
        ("pass", "the encoder wrote no file"),
    ],
)
def test_an_external_codec_that_fails(speech_24: Audio, program: str, reason: str) -> None:
    codec = ExternalCodec("bad", f'{sys.executable} -c "{program}" {{in}} {{out}}', COPY, 6)
    with pytest.raises(AudioError, match=reason):
        round_trip(codec, speech_24, RATE)


def test_an_external_codec_may_say_what_it_likes(speech_24: Audio) -> None:
    program = (
        f"{sys.executable} -c 'import os,shutil,sys; os.write(1, bytes([255])); shutil.copy(*sys.argv[1:])'"
    )
    codec = ExternalCodec("loud", f"{program} {{in}} {{out}}", COPY, 384)
    assert round_trip(codec, speech_24, 24_000)[0] == pytest.approx(speech_24, abs=1e-4)


def test_an_external_codec_whose_script_changes_is_another(tmp_path: Path) -> None:
    script = tmp_path / "codec.py"
    identities = set()
    for text in ("import a", "import b"):
        script.write_text(text)
        identities.add(ExternalCodec("x", f"{sys.executable} {script} {{in}} {{out}}", COPY, 6).identity)
    assert len(identities) == 2


@pytest.mark.parametrize("spec", ["opus:0", "opus:-6", "opus:nan", "opus:inf", "opus:fast", "opus"])
def test_a_rate_is_a_number_above_0(spec: str) -> None:
    with pytest.raises(ConfigError, match=f"{spec}: name a codec as family:kbps"):
        make_codec(spec, CodecSources())


def test_a_codec_counts_once_and_names_are_of_one() -> None:
    made, missing = make_codecs(["reference", " reference", "opus:12 ", "opus:12"], CodecSources())
    assert ([codec.name for codec in made], missing) == (["reference", "Opus 12"], {})
    with pytest.raises(ConfigError, match="there is another codec called Opus 12"):
        make_codecs(["opus:12", "opus:12.0"], CodecSources())


def test_an_external_codec_must_be_there_and_take_files() -> None:
    with pytest.raises(MissingDependencyError, match="/no/such/enc: no such program"):
        ExternalCodec("x", "/no/such/enc {in} {out}", COPY, 6)
    with pytest.raises(ConfigError, match="must name"):
        ExternalCodec("x", "enc {in}", COPY, 6)


def test_evs_counts_the_bits_of_its_frames(tmp_path: Path, speech_24: Audio) -> None:
    """Programs that stand in for EVS: frames of 192 bits, the samples in a file beside."""
    encoder = (
        f"#!{sys.executable}\nimport sys, struct, shutil, os\nsource, target = sys.argv[4:]\n"
        "frames = os.path.getsize(source) // 1280\nshutil.copy(source, __file__ + '.raw')\n"
        "open(target, 'wb').write(struct.pack('<HH192H', 0x6B21, 192, *[0x7F] * 192) * frames)\n"
    )
    decoder = (
        f"#!{sys.executable}\nimport sys, shutil\nshutil.copy(__file__[:-3] + 'cod.raw', sys.argv[4])\n"
    )
    for name, text in (("EVS_cod", encoder), ("EVS_dec", decoder)):
        path = tmp_path / name
        path.write_text(text)
        path.chmod(path.stat().st_mode | stat.S_IEXEC)
    decoded, payload = round_trip(EvsCodec(tmp_path, 9.6), speech_24, RATE)
    assert kbps(payload.bits, speech_24) == pytest.approx(9.6, rel=0.01)
    assert METRICS["si_snr"].measure(speech_24, decoded, RATE) > 30


LYRA = os.environ.get("SONANT_LYRA") or str(Path(__file__).parents[3] / "shared" / "peers" / "lyra")


@pytest.mark.skipif(not Path(LYRA).is_dir(), reason="Lyra's model files are not here (SONANT_LYRA=folder)")
def test_lyra_codes_speech(speech_24: Audio) -> None:
    scores = []
    for rate in (3.2, 9.2):
        decoded, payload = round_trip(LyraCodec(Path(LYRA), rate), speech_24, RATE)
        assert kbps(payload.bits, speech_24) == pytest.approx(rate)
        assert best_lag(speech_24[0], decoded[0], RATE) == pytest.approx(0, abs=2)
        scores.append(METRICS["pesq"].measure(speech_24, decoded, RATE))
    assert 1.8 < scores[0] < scores[1] < 4.2


def test_opus_has_frames_of_20_ms(music_24: Audio) -> None:

    payload = AvCodec("opus", 12).encode(music_24, RATE)
    with av.open(io.BytesIO(payload.data)) as container:
        sizes = [packet.size for packet in container.demux() if packet.size]
    assert len(sizes) == pytest.approx(50 * music_24.shape[1] / RATE, abs=2)
    assert 8 * sum(sizes) == payload.bits
