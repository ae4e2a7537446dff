"""The codec: one shared model, and one stream object per recording that owns its state."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sonant.audio import Audio, floats, mix_channels, resample
from sonant.codes import Codes, join
from sonant.config import CodecConfig
from sonant.engine.backend import Backend
from sonant.engine.runtime import Engine
from sonant.engine.weights import Weights
from sonant.errors import AudioError, ConfigError
from sonant.segments import SegmentDecoder, SegmentEncoder
from sonant.stepping import Job, run_together
from sonant.streams import BLOCK_FRAMES, DecoderStream, EncoderStream, FrameDecoder, FrameEncoder

MOST_CHANNELS = 255

Samples = NDArray[np.floating]


class Codec:
    """A trained model, immutable: any number of streams and threads can share it.

    Args:
        config, weights: as `sonant.models` gives them; `sonant.load` does both.
        weights_hash: SHA-256 of the weights file in hexadecimal, written into files.
        location: file or folder of the weights, beside which its language model is looked for.
        backend: what the networks run on; one thread of the processor in float32 by default.
        beam: beginnings that the search for codes keeps from codebook to codebook. With 1 every codebook
            gives its entry nearest to what those before it left over, as in the paper; a wider search finds
            nearer sums, at more time (docs/entropy.md).

    Raises:
        ConfigError: if `beam` is less than 1.
    """

    def __init__(
        self,
        config: CodecConfig,
        weights: Weights,
        weights_hash: str = "",
        location: Path | None = None,
        backend: Backend | None = None,
        beam: int = 1,
    ) -> None:
        self.config, self.weights, self.weights_hash = config, weights, weights_hash
        self.location, self.beam = location, check_beam(beam)
        self.engine = Engine(config, weights, backend)

    def __reduce__(self) -> tuple[object, ...]:
        """A copy, as in another process, builds its networks anew."""
        backend = self.engine.backend
        return Codec, (self.config, self.weights, self.weights_hash, self.location, backend, self.beam)

    def __repr__(self) -> str:
        config = self.config
        return f"<Codec {config.name}: {config.sample_rate} Hz, channels: {config.channels}>"

    @property
    def name(self) -> str:
        """The model's name."""
        return self.config.name

    def encoder(
        self,
        bitrate: float | None = None,
        *,
        low_latency: bool = False,
        latents: bool = False,
        beam: int | None = None,
    ) -> EncoderStream:
        """A new stream of audio into codes.

        Args:
            bitrate: kbit/s, one of `config.bandwidths`; by default 6, or the nearest to it.
            low_latency: only for models with reflect padding: begin with silence before the first
                sample, so that codes flow at once, instead of the mirrored start, which has to
                wait for 8 frames. The first 12 frames then differ from those of the whole file.
            latents: keep what the encoder gave before it was quantised (`Codes.latents`).
            beam: of this stream's search for codes, in place of the codec's.

        Raises:
            ConfigError: if the model has no such bitrate, or `beam` is less than 1.
        """
        n_q = self.config.check_bitrate(bitrate)
        beam = self.beam if beam is None else check_beam(beam)
        if self.config.segment_length is not None:
            return SegmentEncoder(self.engine, n_q, beam, latents=latents)
        return FrameEncoder(self.engine, n_q, beam, low_latency=low_latency, latents=latents)

    def decoder(self, *, low_latency: bool = False) -> DecoderStream:
        """A new stream of codes into audio; `low_latency` as for `encoder`."""
        if self.config.segment_length is not None:
            return SegmentDecoder(self.engine)
        return FrameDecoder(self.engine, low_latency=low_latency)

    def encode(self, wav: Samples, sample_rate: int | None = None, bitrate: float | None = None) -> Codes:
        """Code a recording.

        Args:
            wav: float `[channels, samples]` or `[samples]` in [-1, 1], up to 255 channels.
            sample_rate: of `wav` in Hz, 1 to 10 million; the model's own if not given. Other rates are
                resampled.
            bitrate: kbit/s, one of `config.bandwidths`; by default 6, or the nearest to it.

        Raises:
            AudioError: on samples that are not finite or no floats, another shape, or a rate that cannot
                be.
            ConfigError: if the model has no such bitrate.
        """
        return self.encode_batch([wav], None, sample_rate, bitrate)[0]

    def encode_batch(
        self,
        wavs: Sequence[Samples] | Samples,
        lengths: Sequence[int] | NDArray[np.integer] | None = None,
        sample_rate: int | None = None,
        bitrate: float | None = None,
    ) -> list[Codes]:
        """Code many recordings at once; each result is that of `encode`.

        Args:
            wavs: recordings as for `encode`, of any lengths, or an array `[batch, channels, samples]`.
            lengths: samples of each that count; by default all.
            sample_rate, bitrate: as for `encode`, the same for all.

        Raises:
            AudioError: as `encode`, or on a length beyond a recording or another number of lengths.
            ConfigError: if the model has no such bitrate.
        """
        if lengths is not None:
            if len(lengths) != len(wavs):
                raise AudioError(f"{len(lengths)} lengths for {len(wavs)} recordings")
            wavs = [_shortened(wav, length) for wav, length in zip(wavs, lengths, strict=True)]
        prepared = [self._prepared(wav, sample_rate) for wav in wavs]
        encoders = [self.encoder(bitrate) for _ in prepared]
        for encoder, wav in zip(encoders, prepared, strict=True):
            encoder.check(wav)
        jobs = map(self._encoding, encoders, prepared)
        return run_together(self.engine, jobs)

    def _encoding(self, encoder: EncoderStream, wav: Audio) -> Job[Codes]:
        """Push blocks of frames, the rest with the end, so that many recordings end in whole batches."""
        block = BLOCK_FRAMES * self.config.hop_length
        whole = 0 if self.config.segment_length else max(0, wav.shape[1] - 1) // block * block
        pieces = []
        for start in range(0, whole, block):
            pieces.append((yield from encoder.pushing(wav[:, start : start + block])))
        return join([*pieces, (yield from encoder.finishing(wav[:, whole:]))])

    def decode(self, codes: Codes) -> Audio:
        """Audio float32 `[channels, samples]` of a recording's codes, `codes.length` samples.

        Raises:
            FormatError: if the model cannot have such codes, by number, size or length.
        """
        return self.decode_batch([codes])[0]

    def decode_batch(self, codes: Sequence[Codes]) -> list[Audio]:
        """The audio of many recordings at once, each as from `decode`.

        Raises:
            FormatError: if the model cannot have such codes, by number, size or length.
        """
        decoders = [self.decoder() for _ in codes]
        for decoder, piece in zip(decoders, codes, strict=True):
            decoder.check(piece)
        audio = run_together(self.engine, (d.finishing(c) for d, c in zip(decoders, codes, strict=True)))
        return [samples[:, : piece.length] for samples, piece in zip(audio, codes, strict=True)]

    def _prepared(self, wav: Samples, sample_rate: int | None) -> Audio:
        audio = floats(wav).astype(np.float32, copy=False)
        if audio.ndim == 1:
            audio = audio[None]
        if audio.ndim != 2 or not 0 < len(audio) <= MOST_CHANNELS:
            raise AudioError(f"audio must be [channels, samples], not of shape {audio.shape}")
        audio = mix_channels(audio, self.config.channels)
        if sample_rate is not None and sample_rate != self.config.sample_rate:
            audio = resample(audio, sample_rate, self.config.sample_rate)
        return audio


def check_beam(beam: float) -> int:
    """`beam` as an int, if it is one.

    Raises:
        ConfigError: if it is less than 1 or no whole number.
    """
    if not isinstance(beam, Real) or not beam >= 1 or beam % 1:
        raise ConfigError(f"a search keeps at least 1 beginning, a whole number, not {beam!r}")
    return int(beam)


def _shortened(wav: Samples, length: int) -> Samples:
    if not 0 <= length <= np.shape(wav)[-1]:
        raise AudioError(f"a length of {length} for a recording of {np.shape(wav)[-1]} samples")
    return wav[..., :length]
