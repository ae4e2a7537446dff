"""A codec's graphs as ONNX files for other programs."""

from __future__ import annotations

from pathlib import Path

import onnx

from sonant.config import CodecConfig
from sonant.engine.graph import OPSET
from sonant.engine.quantizer import quantizer_graph
from sonant.engine.seanet import decoder_graph, encoder_graph
from sonant.engine.states import STREAM, Ends
from sonant.engine.weights import Weights
from sonant.whole_files import replacing_output, write_output

README = """# {name} as ONNX graphs

Opset {opset}, float32, for `onnxruntime` and `onnxruntime-web`. Audio is `[batch, samples, channels]` in
[-1, 1] at {rate} Hz.

| file | inputs | outputs |
|---|---|---|
| `encoder.onnx` | `audio` of any length | `latents [batch, frames, {dimension}]` |
| `quantizer_K.onnx` | `latents` | `codes [K, batch · frames]`, K codebooks of {bins} entries{search} |
| `decoder.onnx` | `entries [batch, K, frames]`, int64: code + stage · {bins} | `audio` |
{streams}
A frame is {hop} samples. The decoder gives whole frames; what lies beyond the end of the audio is left out.
{segments}"""

STREAMS = """| `encoder_stream.onnx` | `audio` and `state_0` … | `latents`, `next_0` … |
| `decoder_stream.onnx` | `entries` and `state_0` … | `audio`, `next_0` … |

The stream graphs take blocks of whole frames and begin with zeros in every `state_N`; what comes out
as `next_N` goes in as `state_N` with the next block. A last frame that is not whole has to go with the
frames before it through `encoder.onnx`, whose codes of it are not those of the frame filled up with zeros.
"""

MIRRORED = """
The model mirrors the start of the audio. Streams that begin with zeros give other codes and audio in their
first 12 frames than `encoder.onnx` and `decoder.onnx`.
"""

SEGMENTS = """
Audio is cut into segments of {length} samples, one every {stride}; the last ones may be short. Sample n of
a decoded segment, from 0, counts with the weight 0.5 − |(n + 1) / {past_end} − 0.5|; where they overlap,
their weighted sum is divided by the sum of the weights.
"""

VOLUMES = """
Each segment is divided by its volume, 10⁻⁸ plus the root mean square of its channels' mean, before it is
coded, and multiplied by it after it is decoded.
"""


def export_onnx(config: CodecConfig, weights: Weights, folder: Path, beam: int = 1) -> None:
    """Write the graphs of a codec and a README with their inputs and outputs into a folder.

    Args:
        config, weights: of the codec.
        folder: made if it does not exist.
        beam: how widely the quantisers search for codes (`Codec`).
    """
    folder.mkdir(parents=True, exist_ok=True)
    whole = Ends(stream=False, tail=True)
    graphs = {
        "encoder": encoder_graph(config, weights, whole, give_states=False),
        "decoder": decoder_graph(config, weights, whole, give_states=False),
    }
    for bitrate in config.bandwidths:
        n_q = config.codebooks_for(bitrate)
        graphs[f"quantizer_{n_q}"] = quantizer_graph(config, weights, n_q, beam)
    if config.streams:
        graphs["encoder_stream"] = encoder_graph(config, weights, STREAM)
        graphs["decoder_stream"] = decoder_graph(config, weights, STREAM)
    for name, graph in graphs.items():
        onnx.checker.check_model(graph)
        with replacing_output(folder / f"{name}.onnx") as temporary:
            onnx.save(graph, temporary)
    write_output(folder / "README.md", _readme(config, beam))


def _readme(config: CodecConfig, beam: int) -> str:
    segments = ""
    if config.segment is not None:
        length = config.segment_length or 0
        segments = SEGMENTS.format(length=length, stride=config.segment_stride, past_end=length + 1)
        segments += VOLUMES if config.normalize else ""
    streams = STREAMS if config.streams else ""
    streams += MIRRORED if streams and config.pad_mode == "reflect" else ""
    return README.format(
        name=config.name,
        opset=OPSET,
        rate=config.sample_rate,
        dimension=config.dimension,
        bins=config.bins,
        search=f", a beam of {beam}" if beam > 1 else "",
        hop=config.hop_length,
        streams=streams,
        segments=segments,
    )
