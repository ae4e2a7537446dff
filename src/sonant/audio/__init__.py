"""Audio files and pipes in blocks, resampling, channel mixing."""

from sonant.audio.convert import LOUDEST, Audio, floats, mix_channels, resample, resampled
from sonant.audio.sinks import FileSink, PipeSink, Sink, check_ending
from sonant.audio.sources import AUDIO_ENDINGS, PyAVSource, Source, model_blocks, open_source, read_audio
from sonant.audio.wav_pipe import WavPipeSource

__all__ = [
    "AUDIO_ENDINGS",
    "LOUDEST",
    "Audio",
    "FileSink",
    "PipeSink",
    "PyAVSource",
    "Sink",
    "Source",
    "WavPipeSource",
    "check_ending",
    "floats",
    "mix_channels",
    "model_blocks",
    "open_source",
    "read_audio",
    "resample",
    "resampled",
]
