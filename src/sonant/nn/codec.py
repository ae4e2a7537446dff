"""Encoder, quantiser and decoder as one trainable network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sonant.config import CodecConfig
from sonant.nn.quantizer import Quantized, ResidualVectorQuantizer
from sonant.nn.seanet import SEANetDecoder, SEANetEncoder


class CodecNetwork(nn.Module):
    """The EnCodec network of one segment; audio is `[B, T, channels]`, channels last.

    Args:
        config: of the model.
        beam: how many beginnings `forward` keeps while it searches for codes.
        codebook_decay: of the moving averages that are the codebooks.
    """

    def __init__(self, config: CodecConfig, beam: int = 1, codebook_decay: float = 0.99) -> None:
        super().__init__()
        self.config = config
        self.encoder = SEANetEncoder(config)
        self.decoder = SEANetDecoder(config)
        self.quantizer = ResidualVectorQuantizer(
            config.dimension, config.n_q, config.bins, codebook_decay, beam=beam
        )

    def forward(self, audio: Tensor, n_q: int, run_up: int = 0) -> tuple[Tensor, Quantized]:
        """Code and decode `audio`.

        Args:
            audio: `[B, T, channels]`.
            n_q: codebooks; 0 leaves the latents as they are.
            run_up: items of the batch that the decoder has heard before each item, other ones.
        """
        latents = self.encoder(audio)
        if n_q:
            quantized = self.quantizer(latents, n_q)
        else:
            quantized = Quantized(latents, latents.new_zeros(0), latents.new_zeros(()))
        if run_up:
            heard = [quantized.latents.detach().roll(n, 0) for n in range(run_up, 0, -1)]
            decoded = self.decoder.after(torch.cat(heard, 1), quantized.latents)
        else:
            decoded = self.decoder(quantized.latents)
        return decoded[:, : audio.shape[1]], quantized

    def encode(self, audio: Tensor, n_q: int) -> Tensor:
        """Codes `[B, n_q, F]` of audio `[B, T, channels]`."""
        return self.quantizer.encode(self.encoder(audio), n_q)

    def decode(self, codes: Tensor) -> Tensor:
        """Audio `[B, F · hop, channels]` of codes `[B, n_q, F]`."""
        return self.decoder(self.quantizer.decode(codes))
