"""A page that codes audio in the browser itself, with the graphs of `sonant export --onnx`.

    python examples/browser.py [MODEL] [--runtime node_modules/onnxruntime-web/dist] [--port 8092]

The browser gets onnxruntime-web from jsDelivr, or from its folder `dist`, which `npm i onnxruntime-web`
makes. Nothing that is coded leaves the browser, and the folder `browser` that is made here can lie on any
web server.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import sonant
from sonant.engine.export import export_onnx

HERE = Path(__file__).parent
OUT = HERE.parent / "browser"
PAGE = HERE / "browser"
MICROPHONE = Path(sonant.__file__).parent / "studio" / "microphone.js"
RUNTIME = "ort.wasm.min.mjs"
ON_THE_WEB = "https://cdn.jsdelivr.net/npm/onnxruntime-web@1.30.0/dist"


class Handler(SimpleHTTPRequestHandler):
    """Serves the folder, with kinds of files that Python does not know everywhere."""

    extensions_map = SimpleHTTPRequestHandler.extensions_map | {
        ".js": "text/javascript",
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }


def main() -> None:
    """Make the folder and serve it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", nargs="?", default="24khz", help="mono, without segments")
    parser.add_argument(
        "--runtime", type=Path, help="folder dist of onnxruntime-web; default: from jsDelivr"
    )
    parser.add_argument("--port", type=int, default=8092)
    options = parser.parse_args()
    make_site(OUT, options.model, options.runtime)
    with ThreadingHTTPServer(("127.0.0.1", options.port), partial(Handler, directory=OUT)) as server:
        print(f"http://127.0.0.1:{server.server_port}, from {OUT}")
        server.serve_forever()


def make_site(folder: Path, model: str, runtime: Path | None) -> None:
    """Write the page, the graphs of a mono model without segments, and what the page has to know of it."""
    codec = sonant.load(model)
    config = codec.config
    if config.channels != 1 or config.segment is not None:
        sys.exit(f"{model} is not mono, or has segments, which this page does not")
    export_onnx(config, codec.weights, folder / "model", codec.beam)
    for file in (*PAGE.iterdir(), MICROPHONE):
        shutil.copy(file, folder)
    shutil.copy(HERE / "audio" / "speech_en.flac", folder / "example.flac")
    if runtime:
        shutil.copytree(runtime, folder / "runtime", dirs_exist_ok=True)
    site = {
        "name": config.name,
        "sample_rate": config.sample_rate,
        "bins": config.bins,
        "codebooks": {f"{rate:g}": config.codebooks_for(rate) for rate in config.bandwidths},
        "default_bitrate": config.default_bitrate,
        "runtime": f"{'./runtime' if runtime else ON_THE_WEB}/{RUNTIME}",
    }
    (folder / "site.json").write_text(json.dumps(site))


if __name__ == "__main__":
    main()
