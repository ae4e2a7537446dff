"""The example that codes in the browser, as a whole where `ONNXRUNTIME_WEB` names npm's `dist`."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import sonant
from conftest import AUDIO, example_module
from sonant.audio import read_audio
from sonant.codec import Codec
from sonant.codes import Codes
from sonant.container import version0
from webdriver import Browser, browser, browser_is_here

RUNTIME = os.environ.get("ONNXRUNTIME_WEB")
STATUS = "document.querySelector('#status').textContent"
BYTES = "async (blob) => Array.from(new Uint8Array(await blob.arrayBuffer()))"

pytestmark = pytest.mark.skipif(not browser_is_here(), reason="needs chromium and chromedriver")


@pytest.fixture(scope="module")
def example() -> ModuleType:
    return example_module("browser")


@pytest.fixture(scope="module")
def address(example: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("site")
    example.make_site(folder, "24khz", Path(RUNTIME) if RUNTIME else None)
    with served(example, folder) as url:
        yield url


@contextmanager
def served(example: ModuleType, folder: Path) -> Iterator[str]:
    handler = partial(example.Handler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def awaited(page: Browser, promise: str, seconds: float = 20) -> Any:
    page.run(f"window.result = null; ({promise}).then((value) => {{ window.result = value; }})")
    return page.wait("window.result", seconds)


def test_its_files_are_those_of_version_0(address: str, codec: Codec) -> None:
    values = np.random.default_rng(0).integers(0, 1024, (4, 77)).astype(np.int16)
    codes = Codes(values, 77 * 320 - 5)
    expected = io.BytesIO()
    version0.write(expected, codec.config, codes, codec.name)
    flat = values.reshape(-1).tolist()
    with browser() as page:
        page.open(address)
        file = (
            f"m.ecdcFile({{books: 4, frames: 77, values: {flat}}}, {codes.length},"
            f" {{name: '{codec.name}', bins: 1024}})"
        )
        data = awaited(page, f"import('./codec.js').then((m) => ({BYTES})({file}))")
    assert bytes(data) == expected.getvalue()


needs_runtime = pytest.mark.skipif(not RUNTIME, reason="needs onnxruntime-web, in ONNXRUNTIME_WEB")


@needs_runtime
@pytest.mark.parametrize("mobile", [False, True])
def test_what_it_codes_is_what_sonant_codes(
    address: str, codec: Codec, tmp_path: Path, mobile: bool
) -> None:
    wav, _ = read_audio(AUDIO / "speech_en.flac", 24_000, 1)
    expected = codec.encode(wav, bitrate=12.0)
    with browser(390 if mobile else 1000, 844, mobile=mobile) as page:
        page.open(address)
        page.wait(f"{STATUS}.startsWith('Choose')", 60)
        page.click("#bitrates input[value='12']")
        page.click("#example")
        page.wait(f"{STATUS}.includes('decoded in')", 60)
        assert page.run("return document.documentElement.scrollWidth <= innerWidth")
        blob = "fetch(document.querySelector('#save').href).then((answer) => answer.blob())"
        data = bytes(awaited(page, f"{blob}.then({BYTES})"))
        assert abs(page.wait("document.querySelector('#decoded').duration") - wav.shape[1] / 24_000) < 0.01
        page.choose_file("#file", Path(__file__))
        page.wait(f"{STATUS}.includes('cannot be read')")
    (tmp_path / "a.ecdc").write_bytes(data)
    with sonant.open(tmp_path / "a.ecdc", codec) as recording:
        (codes,) = recording.codes()
    assert codes.length == expected.length
    assert np.mean(codes.values == expected.values) > 0.98


@needs_runtime
def test_what_cannot_be_coded_is_told_and_can_be_tried_again(address: str) -> None:
    shown = "!document.querySelector('#result').hidden"
    with browser() as page:
        page.open(address)
        page.wait(f"{STATUS}.startsWith('Choose')", 60)
        page.click("#example")
        page.wait(f"{STATUS}.includes('decoded in')", 60)
        page.run("window.fetched = fetch; window.fetch = () => Promise.reject(new Error('no network'))")
        page.click("#bitrates input[value='3']")
        page.wait(
            f"{STATUS}.startsWith('example.flac cannot be coded (') && {STATUS}.includes('no network')"
        )
        assert not page.run(f"return {shown}"), "the result of another bitrate"
        page.run("window.fetch = window.fetched")
        page.click("#bitrates input[value='6']")
        page.click("#bitrates input[value='3']")
        page.wait(f"{shown} && {STATUS}.includes('decoded in')", 60)


def test_a_page_without_its_files_says_so(example: ModuleType, tmp_path: Path) -> None:
    for file in example.PAGE.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    with served(example, tmp_path) as alone, browser() as page:
        page.open(alone)
        page.wait(f"{STATUS}.startsWith('The model cannot be loaded')")
