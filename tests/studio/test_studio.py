"""The studio: what its server gives for recordings, and its page in a browser."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

import sonant
from conftest import AUDIO, hear_ctrl_c
from sonant.cli import app
from sonant.errors import AudioError, WeightsError
from sonant.models.store import save_weights
from sonant.studio.desk import Desk, Version
from sonant.studio.server import studio_server
from webdriver import Browser, browser, browser_is_here

SPEECH = AUDIO / "speech_en.flac"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A studio that takes two seconds of a recording."""
    with served(Desk(tmp_path_factory.mktemp("desk"), ["24khz", "48khz"], 2.0)) as address:
        yield address


@contextmanager
def served(desk: Desk, host: str = "127.0.0.1") -> Iterator[str]:
    server = studio_server(desk, host)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://{f'[{host}]' if ':' in host else host}:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def call(base: str, path: str, body: bytes | None = None, **query: str) -> tuple[int, bytes]:
    method = "GET" if body is None else "POST"
    request = urllib.request.Request(f"{base}{path}?{urlencode(query)}", body, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def handed_in(base: str, name: str, data: bytes) -> dict[str, Any]:
    status, answer = call(base, "/takes", data, name=name)
    assert status == 200, answer
    return json.loads(answer)


def wav_of(samples: np.ndarray, rate: int = 24_000) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype="FLOAT")
    return file.getvalue()


def test_models_and_their_bitrates(base: str) -> None:
    first, second = json.loads(call(base, "/models")[1])
    assert (first["name"], first["channels"], first["bitrates"]) == ("24khz", 1, [1.5, 3, 6, 12, 24])
    assert (second["name"], second["sample_rate"], second["channels"]) == ("48khz", 48_000, 2)


def test_a_recording_and_a_version_of_it(base: str, tmp_path: Path) -> None:
    take = handed_in(base, "C:\\talks/speech.flac", SPEECH.read_bytes())
    assert (take["seconds"], take["sample_rate"], take["channels"], take["cut"]) == (2.0, 24_000, 1, True)
    original, rate = soundfile.read(io.BytesIO(call(base, f"/takes/{take['id']}/original.flac")[1]))
    np.testing.assert_array_equal(original, soundfile.read(SPEECH)[0][: 2 * rate])

    versions = f"/takes/{take['id']}/versions"
    status, answer = call(base, versions, b"", model="24khz", bitrate="6")
    assert status == 200
    version = json.loads(answer)
    coded = call(base, f"/takes/{take['id']}/{version['name']}.ecdc")[1]
    assert len(coded) == version["bytes"]
    assert version["kbps"] == pytest.approx(len(coded) * 8 / 2000)
    assert 1 < version["si_snr"] < 20
    (tmp_path / "a.ecdc").write_bytes(coded)
    sonant.decompress(tmp_path / "a.ecdc", tmp_path / "a.flac")
    assert (
        call(base, f"/takes/{take['id']}/{version['name']}.flac")[1] == (tmp_path / "a.flac").read_bytes()
    )
    assert call(base, versions, b"", model="24khz", bitrate="6")[1] == answer


def test_a_coded_file_is_decoded(base: str, tmp_path: Path) -> None:
    sonant.compress(SPEECH, tmp_path / "a.ecdc", bitrate=3.0)
    take = handed_in(base, "a.ecdc", (tmp_path / "a.ecdc").read_bytes())
    assert take["coded"]["model"] == "24khz"
    assert take["coded"]["nominal_kbps"] == pytest.approx(3, abs=0.05)
    assert take["cut"]
    audio, rate = soundfile.read(io.BytesIO(call(base, f"/takes/{take['id']}/original.flac")[1]))
    assert len(audio) == 2 * rate


def test_a_whole_short_recording_is_kept(base: str) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, (11_025, 2))
    take = handed_in(base, "noise.wav", wav_of(noise, 22_050))
    assert (take["seconds"], take["sample_rate"], take["channels"], take["cut"]) == (0.5, 22_050, 2, False)


def test_silence_has_no_ratio_to_noise(base: str) -> None:
    take = handed_in(base, "silence.wav", wav_of(np.zeros(24_000)))
    for model in ("24khz", "48khz"):
        answer = call(base, f"/takes/{take['id']}/versions", b"", model=model, bitrate="3")[1]
        assert json.loads(answer)["si_snr"] is None


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("junk.wav", b"this is no audio" * 9, "junk.wav: "),
        ("half.flac", SPEECH.read_bytes()[:50_000], "half.flac: is damaged"),
        ("cut.ecdc", b"ECDC\x01\x00\x00", "cut.ecdc: "),
        ("nothing.wav", b"", "1 byte to 200 MB"),
    ],
)
def test_what_cannot_be_read_is_a_sentence(base: str, name: str, data: bytes, sentence: str) -> None:
    status, answer = call(base, "/takes", data, name=name)
    assert status == 400
    assert sentence in answer.decode()
    assert "/" not in answer.decode().partition(":")[0]


@pytest.mark.parametrize(
    "name", ["", "..", "/", "\0", "\0.wav", "n" * 300, "n" * 300 + ".wav", "a." + "w" * 300]
)
def test_any_name_will_do(base: str, name: str) -> None:
    assert handed_in(base, name, SPEECH.read_bytes())["seconds"] == 2
    status, answer = call(base, "/takes", b"this is no audio" * 9, name=name)
    assert status == 400
    assert answer.decode().startswith(f"{Path(name).name or 'recording'}: ")


def test_what_is_not_there(base: str) -> None:
    take = handed_in(base, "speech.flac", SPEECH.read_bytes())["id"]
    for path in (
        "/server.py",
        "/../desk.py",
        "/%2e%2e/desk.py",
        f"/takes/{take}/in",
        "/takes/0/original.flac",
    ):
        assert call(base, path)[0] == 404, path
    assert call(base, "/takes/0/versions", b"", model="24khz", bitrate="6")[0] == 404
    for model, bitrate, sentence in (
        ("24khz", "7", "7 kbit/s"),
        ("24khz", "", "a bitrate"),
        ("32khz", "6", "32khz: is not on this page"),
    ):
        status, answer = call(base, f"/takes/{take}/versions", b"", model=model, bitrate=bitrate)
        assert (status, sentence in answer.decode()) == (400, True), answer


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"this is no audio" * 9, ""),
        (wav_of(np.zeros(0)), "holds no samples"),
        (wav_of(np.full(2400, np.nan)), "holds NaN"),
        (wav_of(np.zeros(2400), 700_000), "cannot be written"),
    ],
    ids=["no audio", "no samples", "not numbers", "a rate FLAC lacks"],
)
def test_what_was_handed_in_does_not_stay(tmp_path: Path, data: bytes, reason: str) -> None:
    desk = Desk(tmp_path, ["24khz"], 2.0)
    desk.hand_in("speech.flac", SPEECH.read_bytes())
    with pytest.raises(AudioError, match=rf"^junk\.wav: .*{reason}"):
        desk.hand_in("junk.wav", data)
    assert [file.name for file in tmp_path.rglob("*")][1:] == ["original.flac"]


def test_more_channels_than_flac_has_become_two(tmp_path: Path) -> None:
    take = Desk(tmp_path, ["24khz"], 2.0).hand_in("many.wav", wav_of(np.full((2400, 16), 0.25)))
    assert (take.channels, take.seconds) == (2, 0.1)


def test_files_of_the_page_s_own_models_are_decoded(tmp_path: Path) -> None:
    mine = tmp_path / "mine.safetensors"
    bundled = sonant.load("24khz")
    save_weights(mine, bundled.weights, replace(bundled.config, name="mine"))
    sonant.compress(SPEECH, tmp_path / "a.ecdc", model=mine)
    take = Desk(tmp_path / "desk", [str(mine)], 2.0).hand_in("a.ecdc", (tmp_path / "a.ecdc").read_bytes())
    assert take.coded is not None and take.coded["model"] == "mine"


@contextmanager
def connection(base: str) -> Iterator[socket.socket]:
    host, port = base.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as raw:
        yield raw


def everything(raw: socket.socket) -> bytes:
    return b"".join(iter(lambda: raw.recv(1 << 16), b""))


@pytest.mark.parametrize(
    ("origin", "status"),
    [("http://evil.example", 403), ("http://[", 403), ("null", 403), ("", 200), (None, 200)],
)
def test_pages_of_other_servers_hand_in_nothing(base: str, origin: str | None, status: int) -> None:
    headers = {} if origin is None else {"Origin": origin or base}
    request = urllib.request.Request(f"{base}/takes?name=a.flac", SPEECH.read_bytes(), headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert answer.status == status
    except urllib.error.HTTPError as error:
        assert error.code == status


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("evil.example", 403),
        ("evil.example:80", 403),
        ("[", 403),
        ("localhost:9", 200),
        ("[::1]:9", 200),
    ],
)
def test_names_of_other_sites_are_not_answered(base: str, host: str, status: int) -> None:
    request = urllib.request.Request(f"{base}/models", headers={"Host": host})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert answer.status == status
    except urllib.error.HTTPError as error:
        assert error.code == status


@pytest.mark.parametrize(
    ("first", "status"),
    [
        (b"POST /takes HTTP/1.1\r\nContent-Length: " + b"9" * 5000, b"400"),
        (b"GET /" + b"a" * 5000 + b".js HTTP/1.1", b"404"),
    ],
)
def test_what_no_browser_asks_for_is_answered_as_any_other(
    base: str, first: bytes, status: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    with connection(base) as raw:
        raw.sendall(first + b"\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert everything(raw).split()[1] == status
    assert not capfd.readouterr().err


def test_an_error_of_the_server_is_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(_: Desk) -> None:
        raise ZeroDivisionError("of ours")

    monkeypatch.setattr(Desk, "models", fail)
    with served(Desk(tmp_path, [], 2.0)) as base:
        status, answer = call(base, "/models")
    assert (status, b"went wrong" in answer) == (500, True)
    written = ""
    for _ in range(100):
        written += capfd.readouterr().err
        if "of ours" in written:
            break
        time.sleep(0.1)
    assert "of ours" in written


def test_damaged_files_and_version_0_of_the_page_s_own_model(tmp_path: Path) -> None:
    mine = tmp_path / "mine.safetensors"
    bundled = sonant.load("24khz")
    save_weights(mine, bundled.weights, replace(bundled.config, name="mine"))
    desk = Desk(tmp_path / "desk", [str(mine)], 2.0)
    coded = tmp_path / "a.ecdc"
    sonant.compress(SPEECH, coded, model=mine, version=0)
    take = desk.hand_in("a.ecdc", coded.read_bytes())
    assert take.seconds == 2.0 and take.coded is not None and take.coded["actual_kbps"] > 1

    sonant.compress(SPEECH, coded, model=mine, overwrite=True)
    data = bytearray(coded.read_bytes())
    data[len(data) // 2] ^= 255
    take = desk.hand_in("a.ecdc", bytes(data))
    assert take.seconds == 2.0 and take.coded is not None and "checksum" in take.coded["damage"][0]
    assert desk.version(take, str(mine), 6.0).bytes > 100


def test_what_is_not_read_is_no_request(base: str) -> None:
    hidden = b"GET /models HTTP/1.1\r\nHost: localhost\r\n\r\n"
    head = f"POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(hidden)}\r\n\r\n".encode()
    with connection(base) as raw:
        raw.sendall(head + hidden)
        answer = everything(raw)
    assert answer.startswith(b"HTTP/1.1 404 ") and answer.count(b"HTTP/1.1") == 1


def ipv6_is_here() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.skipif(not ipv6_is_here(), reason="needs IPv6")
def test_an_address_of_version_6(tmp_path: Path) -> None:
    with served(Desk(tmp_path, ["24khz"], 2.0), "::1") as address:
        status, answer = call(address, "/models")
    assert status == 200
    assert "24khz" in answer.decode()


def test_a_recording_that_is_cut_off_is_none(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """And the terminal is not told of browsers that go away."""
    with served(Desk(tmp_path, [], 2.0)) as base:
        data = SPEECH.read_bytes()
        head = f"POST /takes?name=a.flac HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n\r\n"
        with connection(base) as raw:
            raw.sendall(head.encode() + data[:-1000])
            raw.shutdown(socket.SHUT_WR)
            assert b"1 byte to 200 MB" in everything(raw)
        with connection(base) as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raw.sendall(head.encode() + data[:1000])
        assert call(base, "/models")[0] == 200
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr().err == ""


def test_the_ending_tells_the_reader_what_it_is(tmp_path: Path) -> None:
    """G.722 is nothing but samples."""
    pytest.importorskip("av")
    data = np.random.default_rng(0).integers(0, 256, 4000, np.uint8).tobytes()
    take = Desk(tmp_path, [], 2.0).hand_in("call.g722", data)
    assert (take.seconds, take.sample_rate) == (0.5, 16_000)


def test_files_are_found_while_versions_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(tmp_path, [], 2.0)
    take = desk.hand_in("speech.flac", SPEECH.read_bytes())
    made = Version("0-6", 0, 0.0, 0.0, 0.0, 0.0)
    monkeypatch.setattr(desk, "_make", lambda *_: made)

    def make_many() -> None:
        for number in range(5000):
            desk.version(take, "24khz", float(number))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=make_many)
    thread.start()
    try:
        while thread.is_alive():
            assert desk.file(take, "original.flac")
    finally:
        thread.join()
        sys.setswitchinterval(interval)
    assert desk.file(take, "0-6.ecdc")


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such model"):
        Desk(tmp_path, ["96khz"], 10.0)


@pytest.mark.parametrize(("stop", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_the_command(tmp_path: Path, stop: signal.Signals, code: int) -> None:
    """It says where the page is, and leaves nothing behind when it is stopped."""
    command = [sys.executable, "-m", "sonant", "studio"]
    with subprocess.Popen(
        [*command, "-m", "24khz", "--port", "0", "--no-browser"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_ctrl_c,
    ) as process:
        try:
            assert process.stderr
            address = process.stderr.readline().split("/  (Ctrl-C")[0]
            assert [model["name"] for model in json.loads(call(address, "/models")[1])] == ["24khz"]
            handed_in(address, "speech.flac", SPEECH.read_bytes())
            assert list(tmp_path.rglob("original.flac"))
            process.send_signal(stop)
            assert process.wait(timeout=30) == code
        finally:
            process.kill()
    assert not list(tmp_path.glob("sonant-*"))


def test_a_port_that_is_taken_is_a_sentence(base: str) -> None:
    result = CliRunner().invoke(
        app, ["studio", "-m", "24khz", "--no-browser", "--port", base.rpartition(":")[2]]
    )
    assert "try another --port" in str(result.exception)


def all_ready(page: Browser, versions: int) -> None:
    page.wait(
        f"document.querySelectorAll('#versions a').length === {2 * versions} && "
        "!document.querySelector('#versions button:disabled')",
        60,
    )


@pytest.mark.skipif(not browser_is_here(), reason="needs chromium and chromedriver")
@pytest.mark.parametrize("mobile", [False, True])
def test_the_page_in_a_browser(base: str, tmp_path: Path, mobile: bool) -> None:
    """Choose a file, hear versions while it plays, loop, change the model, record, and get errors."""
    with browser(390 if mobile else 1000, 844, mobile=mobile) as page:
        page.open(base)
        page.wait("models.length")
        page.choose_file("#file", SPEECH)
        all_ready(page, 5)
        assert page.run("return document.documentElement.scrollWidth <= innerWidth")
        assert "Only the first 2 s" in page.run("return document.querySelector('#message').textContent")
        page.click("#play")
        page.wait("player.playing")
        for number in (3, 0, 5):
            page.click(f"#versions li:nth-child({number + 1}) button") if mobile else page.press(
                str(number)
            )
            page.wait(f"player.tracks.every((t, i) => (t.gain.gain.value > 0.9) === (i === {number}))")
            assert page.run("return player.playing")
        pixels = "getContext('2d').getImageData(0, 0, 1200, 320).data"
        bright = f"document.querySelector('#spectrogram').{pixels}.filter((v, i) => i % 4 < 3 && v > 100)"
        assert page.run(f"return {bright}.length") > 10_000
        if not mobile:
            page.drag("#spectrogram", 0.25, 0.75, drop=False)
            assert page.run("return [player.from, player.to]") == pytest.approx([0, 2], abs=1e-3)
            assert page.run("return marked()") == pytest.approx([0.5, 1.5], abs=0.01)
            page.drop()
            assert page.run("return [player.from, player.to]") == pytest.approx([0.5, 1.5], abs=0.01)
            page.drag("#spectrogram", 0.9, 0.9)
            assert page.run("return [player.from, player.to]") == pytest.approx([0, 2], abs=1e-3)
        names = page.run("return [...document.querySelectorAll('#versions a')].map((a) => a.ariaLabel)")
        assert names[:3] == ["ecdc of 1.5 kbit/s", "flac of 1.5 kbit/s", "ecdc of 3 kbit/s"]
        page.run("player.loop(0.5, 1.0)")
        assert all(0.5 <= page.wait("player.position") <= 1 for _ in range(10))
        page.click("#loop")
        assert page.run("return [player.from, player.to === player.duration]") == [0, True]

        page.run("const m = document.querySelector('#model'); m.selectedIndex = 1; m.onchange()")
        all_ready(page, 4)

        page.click("#record")
        page.wait("microphone && microphone.blocks.length > 600")
        page.click("#record")
        page.wait("document.querySelector('#title').textContent === 'recording.wav'")
        all_ready(page, 4)
        assert page.run("return Math.max(...player.tracks[0].buffer.getChannelData(0))") > 0.01

        (tmp_path / "junk.wav").write_bytes(b"no audio")
        page.choose_file("#file", tmp_path / "junk.wav")
        page.wait("document.querySelector('#message').textContent.startsWith('junk.wav: ')")


@pytest.mark.skipif(not browser_is_here(), reason="needs chromium and chromedriver")
def test_what_is_pressed_last_counts(base: str) -> None:
    """Two recordings at once, keys on buttons, a new recording and a new model, two presses of Record."""
    with browser() as page:
        page.open(base)
        page.wait("models.length")
        slow = "const real = post; post = async (url, body) => "
        slow += "(url.includes('slow') && await new Promise((r) => setTimeout(r, 1500)), real(url, body))"
        page.run(f"window.eval({json.dumps(slow)})")
        sound = base64.b64encode(wav_of(np.full(12_000, 0.1))).decode()
        file = f"new Blob([Uint8Array.from(atob('{sound}'), (c) => c.charCodeAt(0))])"
        page.run(f"handIn({file}, 'slow.wav').then(() => {{ window.over = true; }})")
        page.run(f"handIn({file}, 'quick.wav')")
        page.wait("window.over")
        all_ready(page, 5)
        assert page.run("return document.querySelector('#title').textContent") == "quick.wav"
        figures = page.run(
            "return document.querySelector('#versions li:nth-child(2) .figures').textContent"
        )
        assert "coded in" in figures
        assert "SI-SNR" not in figures

        page.run("document.querySelector('#versions li:nth-child(3) button').focus()")
        page.press("Space")
        assert page.run("return [player.active, player.playing]") == [2, False]
        page.run("player.loop(0.1, 0.4); player.play()")
        page.run("const m = document.querySelector('#model'); m.selectedIndex = 1; m.onchange()")
        all_ready(page, 4)
        assert page.run("return [player.playing, player.from, player.to]") == [True, 0.1, 0.4]
        page.run(f"handIn({file}, 'new.wav')")
        page.wait("document.querySelector('#title').textContent === 'new.wav'")
        all_ready(page, 4)
        assert page.run("return [player.playing, player.from, player.position]") == [False, 0, 0]

        listening = "const get = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);"
        listening += "window.streams = []; navigator.mediaDevices.getUserMedia = async (wish) => "
        listening += "{ const stream = await get(wish); window.streams.push(stream); return stream; }"
        page.run(listening)
        page.run("for (let i = 0; i < 2; i++) document.querySelector('#record').click()")
        page.wait("microphone && microphone.blocks.length > 100")
        page.run("document.querySelector('#record').click()")
        page.wait("document.querySelector('#title').textContent === 'recording.wav'")
        states = "window.streams.flatMap((s) => s.getTracks()).map((t) => t.readyState)"
        assert page.run(f"return {states}") == ["ended"]
