"""As much of the W3C WebDriver protocol as the tests of pages need."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
)
KEYS = {"Enter": "\ue007", "ArrowRight": "\ue014", "PageUp": "\ue00e", "PageDown": "\ue00f", "Space": " "}


def browser_is_here() -> bool:
    return bool(
        shutil.which("chromedriver") and (shutil.which("chromium") or shutil.which("google-chrome"))
    )


class Browser:
    """One window of a headless Chromium."""

    def __init__(self, base: str, width: int, height: int, mobile: bool) -> None:
        options: dict[str, Any] = {"args": [*FLAGS, f"--window-size={width},{height}"]}
        options["binary"] = shutil.which("chromium")
        if mobile:
            metrics = {"width": width, "height": height, "pixelRatio": 2.0, "touch": True}
            options["mobileEmulation"] = {"deviceMetrics": metrics}
        capabilities = {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options}}
        self._base = base
        self._session = f"/session/{self._call('POST', '/session', capabilities=capabilities)['sessionId']}"

    def _call(self, method: str, path: str, **body: Any) -> Any:
        data = json.dumps(body).encode() if method == "POST" else None
        request = urllib.request.Request(self._base + path, data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from None

    def open(self, url: str) -> None:
        self._call("POST", f"{self._session}/url", url=url)

    def run(self, script: str) -> Any:
        return self._call("POST", f"{self._session}/execute/sync", script=script, args=[])

    def wait(self, script: str, seconds: float = 20) -> Any:
        """The first true value of an expression."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if value := self.run(f"return {script}"):
                return value
            time.sleep(0.05)
        raise AssertionError(f"never true: {script}")

    def press(self, *keys: str) -> None:
        """Type keys, by name or character, to whatever has the focus."""
        actions: list[Mapping[str, str]] = []
        for key in keys:
            value = KEYS.get(key, key)
            actions += [{"type": "keyDown", "value": value}, {"type": "keyUp", "value": value}]
        body = [{"type": "key", "id": "keyboard", "actions": actions}]
        self._call("POST", f"{self._session}/actions", actions=body)

    def click(self, selector: str) -> None:
        self._call("POST", f"{self._element(selector)}/click")

    def drag(self, selector: str, start: float, end: float, drop: bool = True) -> None:
        """Press the mouse on an element and move it, by parts of its width; let go if `drop`."""
        box = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()"
        left, width, y = self.run(f"const b = {box}; return [b.left, b.width, b.top + b.height / 2]")
        moves = [{"type": "pointerMove", "x": round(left + width * x), "y": round(y)} for x in (start, end)]
        ends = [{"type": "pointerUp", "button": 0}] if drop else []
        actions = [moves[0], {"type": "pointerDown", "button": 0}, moves[1], *ends]
        body = [{"type": "pointer", "id": "mouse", "actions": actions}]
        self._call("POST", f"{self._session}/actions", actions=body)

    def drop(self) -> None:
        """Let go of the mouse."""
        body = [{"type": "pointer", "id": "mouse", "actions": [{"type": "pointerUp", "button": 0}]}]
        self._call("POST", f"{self._session}/actions", actions=body)

    def choose_file(self, selector: str, file: Path) -> None:
        self._call("POST", f"{self._element(selector)}/value", text=str(file))

    def _element(self, selector: str) -> str:
        found = self._call("POST", f"{self._session}/element", using="css selector", value=selector)
        return f"{self._session}/element/{found[ELEMENT]}"

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._call("GET", f"{self._session}/screenshot")))

    def close(self) -> None:
        self._call("DELETE", self._session)


@contextmanager
def browser(width: int = 1000, height: int = 800, mobile: bool = False) -> Iterator[Browser]:
    """A window that is closed at the end, with its driver."""
    driver = subprocess.Popen(
        ["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert driver.stdout
        line = next(line for line in driver.stdout if "started successfully on port" in line)
        port = int(line.rstrip().rstrip(".").rsplit(" ", 1)[1])
        window = Browser(f"http://127.0.0.1:{port}", width, height, mobile)
        try:
            yield window
        finally:
            window.close()
    finally:
        driver.terminate()
        driver.wait()
