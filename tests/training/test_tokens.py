"""A corpus as codes: files that cannot be read, and how many frames a crop has."""

from dataclasses import replace

import numpy as np
import pytest

from sonant.codec import Codec
from sonant.errors import AudioError, ConfigError
from sonant.training.corpus import Corpus
from sonant.training.file_problems import ATTEMPTS
from sonant.training.tokens import frames_of_a_crop, tokenise

HOURS = {"train-speech": 10 / 3600}


class Damaged(Corpus):
    """A corpus where so many passages in a row cannot be read before one can."""

    def __init__(self, pack, config, bad):
        super().__init__([pack], config.sample_rate, config.channels)
        self.bad, self.left = bad, bad

    def passage(self, kind, length, random):
        self.left -= 1
        if self.left < 0:
            self.left = self.bad
            return super().passage(kind, length, random)
        raise AudioError(f"{self.left % 2}.wav: cannot be read")


@pytest.mark.parametrize("golden", ["24khz"], indirect=True)
def test_files_that_cannot_be_read_are_left_out_and_told_of_once(golden_codec, pack, capsys):
    corpus = Damaged(pack, golden_codec.config, ATTEMPTS - 1)
    crops = list(tokenise(golden_codec, corpus, HOURS, 1.0, 2))
    assert [(kind, codes.shape) for kind, codes in crops] == 10 * [("train-speech", (2, 75))]
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "left out: 0.wav: cannot be read",
        "left out: 1.wav: cannot be read",
        f"2 problems with files, met {10 * (ATTEMPTS - 1)} times",
    ]


@pytest.mark.parametrize("golden", ["24khz"], indirect=True)
def test_a_corpus_of_which_nothing_can_be_read_is_a_sentence(golden_codec, pack):
    corpus = Damaged(pack, golden_codec.config, ATTEMPTS)
    with pytest.raises(AudioError, match=f"in {ATTEMPTS} attempts; the last: 0.wav: cannot be read"):
        next(tokenise(golden_codec, corpus, HOURS, 1.0, 2))


@pytest.mark.parametrize("golden", ["24khz"], indirect=True)
def test_what_a_corpus_lacks_is_told_before_anything_is_coded(golden_codec, pack):
    corpus = Damaged(pack, golden_codec.config, 0)
    with pytest.raises(ConfigError, match="the corpus has no train-birds"):
        next(tokenise(golden_codec, corpus, {**HOURS, "train-birds": 0.1}, 1.0, 2))


@pytest.mark.parametrize("golden", ["24khz", "48khz"], indirect=True)
@pytest.mark.parametrize("seconds", [0.5, 1.0, 1.2345])
def test_a_crop_has_the_frames_of_its_segments(golden, seconds):
    config = golden.config
    codec = Codec(replace(config, segment=0.3) if config.segment else config, golden.weights)
    audio = np.zeros((config.channels, int(seconds * config.sample_rate)), np.float32)
    assert codec.encode(audio).values.shape[1] == frames_of_a_crop(codec.config, seconds)
