"""Downloads, from a hub on this machine."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from sonant.errors import WeightsError
from sonant.models import registry
from sonant.models.hub import download

COMMIT = "a" * 40
FILES = {"config.json": b"{}", "model.safetensors": b"weights" * 1000}


@contextmanager
def hub(
    monkeypatch: pytest.MonkeyPatch, files: dict[str, bytes] = FILES, cut: int = 0, error: str = ""
) -> Iterator[None]:
    """Serves `files` as `some/model`; `cut` ends the connection early, `error` is what it answers."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            name = self.path.rsplit("/", 1)[1]
            found = not error and self.path.startswith("/some/model/") and name in files
            self.send_response(200 if found else 403 if error == "GatedRepo" else 404)
            if found:
                digest = hashlib.sha256(FILES[name]).hexdigest()
                self.send_header("ETag", f'"{digest if name.endswith("safetensors") else digest[:40]}"')
            elif self.path.startswith("/some/model/"):
                self.send_header("X-Error-Code", error or "EntryNotFound")
            else:
                self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(len(files[name]) if found else 0))
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            data = files.get(self.path.rsplit("/", 1)[1], b"")
            self.wfile.write(data[: len(data) - cut])

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(
        "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE",
        f"http://127.0.0.1:{server.server_port}" + "/{repo_id}/resolve/{revision}/{filename}",
    )
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("huggingface_hub.file_download._ETAG_RETRY_TIMEOUT", 0.1, raising=False)
    return tmp_path


def test_what_was_fetched_once_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    with hub(monkeypatch):
        folder = download("some/model")
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == FILES
    assert download("some/model") == folder


def test_a_download_that_breaks_off_is_a_sentence_and_can_be_repeated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with hub(monkeypatch, cut=10), pytest.raises(WeightsError, match="hub cannot be reached"):
        download("some/model")
    with hub(monkeypatch):
        assert (download("some/model") / "model.safetensors").read_bytes() == FILES["model.safetensors"]


def test_a_damaged_download_can_be_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = FILES | {"model.safetensors": FILES["model.safetensors"][:-1] + b"?"}
    with hub(monkeypatch, damaged), pytest.raises(WeightsError, match="is damaged") as error:
        download("some/model")
    Path(str(error.value).split(":")[0]).unlink()
    with hub(monkeypatch):
        assert (download("some/model") / "model.safetensors").read_bytes() == FILES["model.safetensors"]


@pytest.mark.parametrize(
    ("files", "error", "name", "sentence"),
    [
        ({"config.json": b"{}"}, "", "some/model", "has no config.json with a model.safetensors"),
        (FILES, "GatedRepo", "some/model", "is not open to all"),
        (FILES, "", "some/other", "no such model on the hub"),
        (FILES, "", "a..b/c", "no such model on the hub"),
    ],
)
def test_why_there_is_no_model_is_said(
    monkeypatch: pytest.MonkeyPatch, files: dict[str, bytes], error: str, name: str, sentence: str
) -> None:
    with hub(monkeypatch, files, error=error), pytest.raises(WeightsError, match=sentence):
        download(name)


def test_a_full_disk_is_no_missing_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("huggingface_hub.hf_hub_download", full)
    with pytest.raises(WeightsError, match="No space left"):
        download("some/model")


def test_a_hub_id_may_have_a_dot_and_a_missing_file_is_not_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "download", lambda repository: tmp_path)
    assert registry.find_model("some/model-v1.5") == (tmp_path, "some/model-v1.5")
    monkeypatch.setattr(registry, "download", lambda repository: pytest.fail("fetched"))
    for name in ("runs/best.safetensors", "runs/best.th", "~nobody-here/a.th"):
        with pytest.raises(WeightsError, match="no such model"):
            registry.find_model(name)
