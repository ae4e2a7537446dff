"""The codec: one shared model, and one stream object per recording that owns its state."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sonant.audio import Audio, mix_channels, resample
from sonant.codes import Codes, join
from sonant.config import CodecConfig
from sonant.engine.layers import Weights
from sonant.engine.runtime import Engine
from sonant.errors import AudioError, FormatError
from sonant.segments import SegmentDecoder, SegmentEncoder
from sonant.streams import BLOCK_FRAMES, DecoderStream, EncoderStream, FrameDecoder, FrameEncoder


class Codec:
    """A trained model, immutable: any number of streams and threads can share it.

    Args:
        config, weights: as `sonant.models` gives them; `sonant.load` does both.
        weights_hash: SHA-256 of the weights file in hexadecimal, written into files.
        threads: for each call into the networks.
        location: file or folder of the weights, beside which its language model is looked for.
    """

    def __init__(
        self,
        config: CodecConfig,
        weights: Weights,
        weights_hash: str = "",
        threads: int = 1,
        location: Path | None = None,
    ) -> None:
        self.config, self.weights, self.weights_hash = config, weights, weights_hash
        self.location = location
        self.engine = Engine(config, weights, threads)

    @property
    def name(self) -> str:
        """The model's name."""
        return self.config.name

    def encoder(self, bitrate: float = 6.0, *, low_latency: bool = False) -> EncoderStream:
        """A new stream of audio into codes.

        Args:
            bitrate: kbit/s, one of `config.bandwidths`.
            low_latency: only for models with reflect padding: begin with silence before the first
                sample, so that codes flow at once, instead of the mirrored start, which has to
                wait for 8 frames. The first 12 frames then differ from those of the whole file.

        Raises:
            ConfigError: if the model has no such bitrate.
        """
        n_q = self.config.check_bitrate(bitrate)
        if self.config.segment_length is not None:
            return SegmentEncoder(self.engine, n_q)
        return FrameEncoder(self.engine, n_q, low_latency=low_latency)

    def decoder(self, *, low_latency: bool = False) -> DecoderStream:
        """A new stream of codes into audio; `low_latency` as for `encoder`."""
        if self.config.segment_length is not None:
            return SegmentDecoder(self.engine)
        return FrameDecoder(self.engine, low_latency=low_latency)

    def encode(self, wav: Audio, sample_rate: int | None = None, bitrate: float = 6.0) -> Codes:
        """Code a recording.

        Args:
            wav: float32 `[channels, samples]` or `[samples]` in [-1, 1], any number of channels.
            sample_rate: of `wav` in Hz; the model's own if not given. Other rates are resampled.
            bitrate: kbit/s, one of `config.bandwidths`.

        Raises:
            AudioError: on samples that are not finite, or another shape.
            ConfigError: if the model has no such bitrate.
        """
        wav = self._prepared(wav, sample_rate)
        stream = self.encoder(bitrate)
        step = BLOCK_FRAMES * self.config.hop_length
        pieces = [stream.push(wav[:, start : start + step]) for start in range(0, wav.shape[1], step)]
        return join([*pieces, stream.finish()])

    def decode(self, codes: Codes) -> Audio:
        """Audio float32 `[channels, samples]` of a recording's codes, `codes.length` samples.

        Raises:
            FormatError: if the codes are not of this model.
        """
        self._check(codes)
        stream = self.decoder()
        parts = [stream.push(codes), stream.finish()]
        return np.concatenate(parts, axis=1)[:, : codes.length]

    def _prepared(self, wav: Audio, sample_rate: int | None) -> Audio:
        wav = np.asarray(wav, dtype=np.float32)
        if wav.ndim == 1:
            wav = wav[None]
        if wav.ndim != 2 or not wav.shape[0]:
            raise AudioError(f"audio must be [channels, samples], not of shape {wav.shape}")
        wav = mix_channels(wav, self.config.channels)
        if sample_rate is not None and sample_rate != self.config.sample_rate:
            wav = resample(wav, sample_rate, self.config.sample_rate)
        return wav

    def _check(self, codes: Codes) -> None:
        values: NDArray[np.int16] = codes.values
        if not 1 <= codes.n_q <= self.config.n_q:
            raise FormatError(f"{codes.n_q} codebooks; {self.name} has {self.config.n_q}")
        if values.size and not 0 <= int(values.min()) <= int(values.max()) < self.config.bins:
            raise FormatError(f"codes outside 0 … {self.config.bins - 1}")
        if self.config.segment_length is None and codes.frames != self.config.frames_for(codes.length):
            raise FormatError(f"{codes.frames} frames are not what {codes.length} samples give")
