"""Speech and music over UDP on this machine, with packets lost and reordered on the way.

    python examples/live_udp.py [--loss 1 5 10] [--bitrate 6] [--frames 2] [--seconds 10] [--visqol]

A sender codes 13.3 ms at a time and sends; a receiver puts packets in order, conceals what is lost,
and writes what it plays to demo/. The table tells what the losses cost.
"""

from __future__ import annotations

import argparse
import socket
import threading
from pathlib import Path

import numpy as np
import soundfile

import sonant
from sonant.audio import Audio, read_audio
from sonant.codec import Codec
from sonant.codes import Codes, join
from sonant.concealment import ConcealingDecoder
from sonant.evaluation.metrics.signal import si_snr
from sonant.live import JitterBuffer, Packet

HERE = Path(__file__).parent
OUT = HERE.parent / "demo"
END = b"end"
LARGEST_PACKET = 1 << 16


class BadNetwork:
    """Sends over UDP; drops packets at random and swaps some with the one after.

    Args:
        address: where to.
        loss, reordering: chances for each packet.
    """

    def __init__(self, address: tuple[str, int], loss: float, reordering: float, seed: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._address, self._loss, self._reordering = address, loss, reordering
        self._random = np.random.default_rng(seed)
        self._kept: bytes | None = None
        self.sent = self.dropped = 0

    def send(self, data: bytes) -> None:
        """Send a packet, or not."""
        self.sent += 1
        if self._random.random() < self._loss:
            self.dropped += 1
            return
        if self._kept is None and self._random.random() < self._reordering:
            self._kept = data
            return
        self._socket.sendto(data, self._address)
        if self._kept is not None:
            self._socket.sendto(self._kept, self._address)
            self._kept = None

    def close(self) -> None:
        """Send what was kept back, and that this is the end."""
        for data in (self._kept, END):
            if data is not None:
                self._socket.sendto(data, self._address)
        self._socket.close()


def send(codec: Codec, wav: Audio, bitrate: float, frames: int, network: BadNetwork) -> None:
    """Code frame by frame and send packets of `frames` frames."""
    encoder, hop = codec.encoder(bitrate, low_latency=True), codec.config.hop_length
    waiting, first = [], 0
    for start in range(0, wav.shape[1] - hop + 1, hop):
        waiting.append(encoder.push(wav[:, start : start + hop]))
        if len(waiting) == frames:
            codes, waiting = join(waiting), []
            network.send(Packet(first, codes).to_bytes(codec.config))
            first += frames
    network.close()


def receive(codec: Codec, receiver: socket.socket, depth: int, played: list[Audio]) -> None:
    """Play what arrives until the end."""
    jitter, decoder = JitterBuffer(depth), ConcealingDecoder(codec, low_latency=True)

    def play(part: int | Codes) -> None:
        played.append(decoder.lose(part) if isinstance(part, int) else decoder.push(part))

    while (data := receiver.recv(LARGEST_PACKET)) != END:
        if packet := Packet.from_bytes(data, codec.config):
            for part in jitter.put(packet):
                play(part)
    for part in jitter.finish():
        play(part)


def over_udp(
    codec: Codec,
    wav: Audio,
    loss: float,
    *,
    bitrate: float = 6.0,
    frames: int = 2,
    reordering: float = 0.1,
    seed: int = 0,
) -> tuple[Audio, int, int]:
    """What is heard of `wav [1, samples]` at the other end, the packets sent, and those dropped."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        receiver.settimeout(10)
        receiver.bind(("127.0.0.1", 0))
        network = BadNetwork(receiver.getsockname(), loss, reordering, seed)
        played: list[Audio] = [np.zeros((1, 0), np.float32)]
        sender = threading.Thread(target=send, args=(codec, wav, bitrate, frames, network))
        sender.start()
        receive(codec, receiver, 3 * frames, played)
        sender.join()
    return np.concatenate(played, axis=1), network.sent, network.dropped


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--loss", type=float, nargs="+", default=[1, 5, 10], help="per cent")
    parser.add_argument("--bitrate", type=float, default=6.0)
    parser.add_argument("--frames", type=int, default=2, help="per packet")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each recording")
    parser.add_argument("--visqol", action="store_true", help="needs sonant[eval]")
    options = parser.parse_args()
    codec = sonant.load()
    rate = codec.config.sample_rate
    OUT.mkdir(exist_ok=True)
    heads = f"{'recording':<16} {'lost':>5} {'packets':>9} {'SI-SNR':>8} {'change':>7}"
    print(heads + ("  ViSQOL change" if options.visqol else ""))
    for source in sorted((HERE / "audio").glob("*.flac")):
        wav = read_audio(source, rate, 1)[0][:, : int(options.seconds * rate)]
        clean: list[float] = []
        for loss in (0.0, *options.loss):
            heard, sent, dropped = over_udp(
                codec, wav, loss / 100, bitrate=options.bitrate, frames=options.frames
            )
            soundfile.write(OUT / f"{source.stem}_loss{loss:g}.wav", heard[0], rate)
            scores = quality(wav[0, : heard.shape[1]], heard[0], rate, options.visqol)
            clean = clean or scores
            change = [now - before for now, before in zip(scores, clean, strict=True)]
            line = f"{source.stem:<16} {loss:>4g}% {sent - dropped:>4}/{sent:<4} {scores[0]:>5.2f} dB"
            line += f" {change[0]:>+7.2f}"
            print(line + (f"  {scores[1]:>6.2f} {change[1]:>+6.2f}" if options.visqol else ""))


def quality(reference: np.ndarray, heard: np.ndarray, rate: int, visqol: bool) -> list[float]:
    """SI-SNR in dB, and ViSQOL where it is asked for."""
    scores = [si_snr(reference, heard)]
    if visqol:
        from sonant.evaluation.metrics.perceptual import visqol_audio

        scores.append(visqol_audio(reference, heard, rate))
    return scores


if __name__ == "__main__":
    main()
