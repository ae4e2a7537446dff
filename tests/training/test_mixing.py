"""Mixes: strategies and their probabilities, gains, rooms, clipping, bad files, numbering."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from sonant.errors import AudioError, ConfigError
from sonant.training import mixing
from sonant.training.file_problems import ATTEMPTS
from sonant.training.manifest import MANIFEST_NAME, Recording, write_manifest
from sonant.training.mixing import BatchNumbers, MixedCrops, collate
from sonant.training.recipe_sections import DataRecipe
from sonant.training.reverberation import measured_rt60, reverberate, synthesise_response
from training.training_helpers import RATE, noise, tone


def crops(pack, **changes):
    return MixedCrops(replace(DataRecipe(str(pack), seconds=0.1), **changes), RATE, 1, seed=3)


def test_a_crop_depends_only_on_seed_and_number(pack):
    first, second = crops(pack), crops(pack)
    for number in (0, 7, 123):
        assert (first[number][0] == second[number][0]).all()
    assert (first[0][0] != first[1][0]).any()
    assert first[5][0].shape == (2400, 1)


def test_the_strategies_of_the_paper_have_its_probabilities(pack, monkeypatch):
    data = crops(pack, reverberation=0.0)
    drawn = []
    monkeypatch.setattr(
        data.corpus,
        "crop",
        lambda kind, length, random, full_band: (
            drawn.append(kind) or np.full((length, 1), 0.05, np.float32)
        ),
    )
    mixes = []
    for number in range(3000):
        data[number]
        mixes.append(tuple(drawn))
        drawn.clear()
    share = {size: np.mean([len(mix) == size for mix in mixes]) for size in (1, 2, 3)}
    assert share[1] == pytest.approx(0.64, abs=0.03)
    assert share[2] == pytest.approx(0.24, abs=0.03)
    assert share[3] == pytest.approx(0.12, abs=0.03)
    assert np.mean([mix == ("train-music",) for mix in mixes]) == pytest.approx(0.32, abs=0.03)
    assert not any("train-music" in mix for mix in mixes if len(mix) == 3)


def test_gains_lie_in_their_range(pack, monkeypatch):
    data = crops(pack, reverberation=0.0, strategies=({"weight": 1, "kinds": ["speech"]},))
    level = np.full((2400, 1), 0.1, np.float32)
    monkeypatch.setattr(data.corpus, "crop", lambda *_: level)
    gains = [20 * np.log10(data[n][0][0, 0].item() / 0.1) for n in range(400)]
    assert -10 <= min(gains) < -9
    assert 5 < max(gains) <= 6.001


def test_sources_are_played_at_speeds_of_their_range(pack, monkeypatch):
    data = crops(
        pack, reverberation=0.0, speed=(0.8, 1.25), strategies=({"weight": 1, "kinds": ["speech"]},)
    )
    monkeypatch.setattr(
        data.corpus,
        "crop",
        lambda kind, length, *_: (
            0.2 * np.sin(2 * np.pi * 440 / RATE * np.arange(length, dtype=np.float32))[:, None]
        ),
    )
    mixes = [data[n][0][:, 0].numpy() for n in range(200)]
    assert {len(mix) for mix in mixes} == {data.length}
    speeds = [np.argmax(np.abs(np.fft.rfft(mix, RATE))) / 440 for mix in mixes]
    assert 0.79 < min(speeds) < 0.83
    assert 1.21 < max(speeds) < 1.26


def test_rooms_are_drawn_at_their_probability_and_never_for_single_music(pack, monkeypatch):
    heard = []
    monkeypatch.setattr(mixing, "reverberate", lambda audio, room: heard.append(len(room)) or audio)
    music = crops(pack, reverberation=1.0, strategies=({"weight": 1, "kinds": ["music"]},))
    for number in range(20):
        music[number]
    assert not heard
    speech = crops(pack, strategies=({"weight": 1, "kinds": ["speech"]},))
    monkeypatch.setattr(speech.corpus, "crop", lambda *_: np.full((2400, 1), 0.1, np.float32))
    for number in range(1000):
        speech[number]
    assert len(heard) == pytest.approx(200, abs=40)
    assert 0.3 * RATE <= min(heard) < max(heard) <= 1.3 * RATE


def test_clipped_and_silent_mixes_are_drawn_again(pack, monkeypatch):
    data = crops(pack, reverberation=0.0, strategies=({"weight": 1, "kinds": ["speech"]},))
    levels = iter([2.0, 0.0, 0.2])
    monkeypatch.setattr(data.corpus, "crop", lambda *_: np.full((2400, 1), next(levels), np.float32))
    assert 0 < data[0][0].max() < 0.5


def test_files_that_cannot_be_read_are_named_and_replaced(pack, monkeypatch):
    data = crops(pack, strategies=({"weight": 1, "kinds": ["speech"]},))
    crop, calls = data.corpus.crop, []

    def sometimes(*arguments):
        calls.append(1)
        if len(calls) == 1:
            raise AudioError("bad.flac: cannot be read")
        return crop(*arguments)

    monkeypatch.setattr(data.corpus, "crop", sometimes)
    batch, problems = collate([data[0], data[1]])
    assert problems == ["bad.flac: cannot be read"]
    assert batch.shape == (2, 2400, 1)
    assert batch[0].any()


def test_a_kind_that_is_missing_everywhere_is_an_error(pack):
    with pytest.raises(ConfigError, match="has no train recordings of effects"):
        crops(pack, strategies=({"weight": 1, "kinds": ["effects"]},))


@settings(max_examples=30)
@given(share=st.integers(1, 5), ranks=st.integers(1, 4), first=st.integers(0, 50))
def test_ranks_share_the_batch_of_one_process(share, ranks, first):
    alone = iter(BatchNumbers(share * ranks, first))
    shared = [iter(BatchNumbers(share * ranks, first, rank, ranks)) for rank in range(ranks)]
    for _ in range(3):
        assert next(alone) == [number for numbers in shared for number in next(numbers)]


def test_a_batch_that_cannot_be_shared_is_an_error():
    with pytest.raises(ConfigError, match="cannot be shared by 3"):
        BatchNumbers(8, ranks=3)


@settings(max_examples=15)
@given(rt60=st.floats(0.3, 1.3), seed=st.integers(0, 1000))
def test_drawn_rooms_have_their_reverberation_time(rt60, seed):
    response = synthesise_response(rt60, RATE, np.random.default_rng(seed))
    response[: int(0.1 * RATE)] = 0
    response[0] = 1e-3
    assert measured_rt60(response, RATE) == pytest.approx(rt60, rel=0.35)


def test_reverberation_keeps_place_and_level():
    dry = tone(500, 0.5)[:, None]
    dry[: RATE // 10] = 0
    response = np.concatenate([np.zeros(500), synthesise_response(0.6, RATE, np.random.default_rng(1))])
    wet = reverberate(dry, response.astype(np.float32))
    assert wet.shape == dry.shape
    assert np.std(wet) == pytest.approx(np.std(dry), rel=0.01)
    assert not np.abs(wet[: RATE // 10 - 1]).max() > 1e-3
    assert np.abs(wet - dry).max() > 0.02


def test_measured_rooms_are_used_when_they_fit(tmp_path):
    import soundfile

    from sonant.training.datasets import list_recordings
    from sonant.training.pack import pack_recordings

    for name, rt60 in (("fits", 0.5), ("too_long", 4.0)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train" / "rir").mkdir(parents=True)
        (tmp_path / name / "train" / "speech").mkdir(parents=True)
        time = np.arange(int(rt60 * RATE)) / RATE
        decay = noise(rt60, level=0.3) * 10 ** (-3 * time / rt60)
        soundfile.write(tmp_path / name / "train" / "rir" / "r.wav", decay, RATE)
        soundfile.write(tmp_path / name / "train" / "speech" / "s.wav", tone(200, 1.0), RATE)
        out = tmp_path / name / "pack"
        list(pack_recordings(list_recordings(tmp_path / name), out, RATE, 1, "pcm"))
        data = crops(out, strategies=({"weight": 1, "kinds": ["speech"]},))
        response = data._room(np.random.default_rng(0))
        assert (len(response) == len(decay)) == (name == "fits")


def test_workers_read_what_one_process_reads(tmp_path):
    """The parent has read before they begin, as a run does to see that it can."""
    sweep = tone(300, 30.0) * np.linspace(0.1, 1, 30 * RATE, dtype=np.float32)
    soundfile.write(tmp_path / "a.flac", sweep, RATE)
    recording = Recording(
        "a.flac", "music", "train", length=len(sweep), sample_rate=RATE, channels=1, native_rate=RATE
    )
    write_manifest(tmp_path / MANIFEST_NAME, [recording])
    strategies = ({"weight": 1, "kinds": ["music"]},)
    alone, shared = (crops(tmp_path, reverberation=0.0, strategies=strategies) for _ in range(2))
    shared[0]
    batches = islice(BatchNumbers(4), 30)
    loader = DataLoader(shared, batch_sampler=list(batches), num_workers=2, collate_fn=collate)
    for number, (audio, problems) in enumerate(loader):
        assert not problems
        for place in range(4):
            assert torch.equal(audio[place], alone[4 * number + place][0])


PLAIN = {"reverberation": 0.0, "gain_db": (0, 0)}


def level(value):
    return np.full((2400, 1), value, np.float32)


def test_sources_are_added(pack, monkeypatch):
    levels = {"train-speech": 0.3, "train-noise": 0.1}
    data = crops(pack, strategies=({"weight": 1, "kinds": ["speech", "noise"]},), **PLAIN)
    monkeypatch.setattr(data.corpus, "crop", lambda kind, *_: level(levels[kind]))
    np.testing.assert_allclose(data[0][0].numpy(), 0.4, atol=1e-6)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_full_band_is_asked_for_at_its_share_and_for_speech_alone(pack, monkeypatch, share):
    asked = {}
    strategies = ({"weight": 1, "kinds": ["speech", "music"]},)
    data = crops(pack, full_band_share=share, strategies=strategies, **PLAIN)
    monkeypatch.setattr(
        data.corpus,
        "crop",
        lambda kind, length, random, full_band: asked.update({kind: full_band}) or level(0.1),
    )
    data[0]
    assert asked == {"train-speech": share == 1, "train-music": False}


def test_the_quietest_mix_has_an_rms_of_3_thousandths(pack, monkeypatch):
    data = crops(pack, strategies=({"weight": 1, "kinds": ["speech"]},), **PLAIN)
    levels = iter([0.0029, 0.0031])
    monkeypatch.setattr(data.corpus, "crop", lambda *_: level(next(levels)))
    assert data[0][0].max().item() == pytest.approx(0.0031)


def test_what_clips_at_every_attempt_is_cut_to_full_scale(pack, monkeypatch):
    data = crops(pack, strategies=({"weight": 1, "kinds": ["speech"]},), **PLAIN)
    monkeypatch.setattr(data.corpus, "crop", lambda *_: level(5.0))
    assert data[0][0].max() == 1


def test_a_drawn_room_begins_with_direct_sound_and_silence_and_falls_by_60_db():
    random = np.random.default_rng(0)
    responses = np.stack([synthesise_response(0.5, RATE, random) for _ in range(40)])
    assert (responses[:, 0] == 1).all()
    assert not responses[:, 1 : int(0.002 * RATE)].any()
    power = np.square(responses[:, int(0.1 * RATE) :].astype(np.float64)).mean(0)
    slope = np.polyfit(np.arange(len(power)) / RATE, 10 * np.log10(power), 1)[0]
    assert -60 / slope == pytest.approx(0.5, rel=0.03)


def test_reverberation_time_is_that_of_the_fall_from_5_to_25_db():
    """What fell fast before, or falls slowly after, does not matter."""
    time = np.arange(2 * RATE) / RATE
    falling = np.interp(time, [0, 0.001, 0.3, 0.65, 2], [0, -1, -4.9, -32.9, -60])
    energy = -np.diff(10 ** (falling / 10))
    assert measured_rt60(np.sqrt(energy).astype(np.float32), RATE) == pytest.approx(60 / 80, rel=0.05)


def test_a_room_that_was_measured_late_delays_nothing():
    dry = np.zeros((RATE // 4, 1), np.float32)
    dry[1000] = 0.5
    response = np.zeros(2000, np.float32)
    response[[500, 900]] = 1, 0.3
    wet = reverberate(dry, response)
    assert np.flatnonzero(np.abs(wet[:, 0]) > 0.01).tolist() == [1000, 1400]


def test_mixes_clip_on_either_side(pack, monkeypatch):
    data = crops(pack, strategies=({"weight": 1, "kinds": ["speech"]},), **PLAIN)
    levels = iter([-2.0, 0.2])
    monkeypatch.setattr(data.corpus, "crop", lambda *_: level(next(levels)))
    assert data[0][0].min().item() == pytest.approx(0.2)


def test_weights_of_strategies_need_no_sum_of_1(pack):
    strategies = ({"weight": 6, "kinds": ["speech"]}, {"weight": 2, "kinds": ["noise"]})
    data = crops(pack, strategies=strategies, **PLAIN)
    assert data.weights.tolist() == [0.75, 0.25]


def test_a_measured_room_that_is_too_dry_is_not_used(pack, monkeypatch):
    data, time = crops(pack), np.arange(RATE) / RATE
    dry = noise(1.0, level=0.3) * 10 ** (-3 * time / 0.1).astype(np.float32)
    recording = Recording("r.wav", "rir", length=RATE, sample_rate=RATE, channels=1)
    monkeypatch.setattr(data.corpus, "recordings", lambda _: [recording])
    monkeypatch.setattr(data.corpus, "read", lambda *_: dry[:, None])
    assert not np.array_equal(data._room(np.random.default_rng(0)), dry)


def test_every_source_has_a_gain_of_its_own(pack, monkeypatch):
    half = np.arange(2400)[:, None] < 1200
    parts = {"train-speech": half, "train-noise": ~half}
    data = crops(pack, reverberation=0.0, strategies=({"weight": 1, "kinds": ["speech", "noise"]},))
    monkeypatch.setattr(data.corpus, "crop", lambda kind, *_: 0.1 * parts[kind].astype(np.float32))
    for number in range(3):
        mix = data[number][0][:, 0]
        assert mix[0] != pytest.approx(mix[-1].item(), rel=1e-3)


def rooms(folder, *lengths, gap=2400):
    """A flat shard of decaying noises, as `sonant data pack` lays them side by side."""
    place, shard, recordings = (
        0,
        [],
        [Recording("s.pcm", "speech", length=RATE, sample_rate=RATE, channels=1)],
    )
    for seed, rt60 in enumerate(lengths):
        size = int(rt60 * RATE)
        shard += [noise(rt60, seed=seed) * 10 ** (-3 * np.arange(size) / size), np.zeros(gap)]
        recordings.append(
            Recording("r.pcm", "rir", start=place, length=size, sample_rate=RATE, channels=1, source="x")
        )
        place += size + gap
    (np.concatenate(shard) * 32767).astype("<i2").tofile(folder / "r.pcm")
    (noise(1.0) * 32767).astype("<i2").tofile(folder / "s.pcm")
    write_manifest(folder / MANIFEST_NAME, recordings)
    recipe = DataRecipe(str(folder), seconds=0.1, strategies=({"weight": 1, "kinds": ["speech"]},))
    return MixedCrops(recipe, RATE, 1, seed=3)


def test_rooms_of_one_shard_stay_apart(tmp_path):
    data = rooms(tmp_path, 0.5, 0.6, 0.7)
    lengths = {len(data._room(np.random.default_rng(seed))) for seed in range(12)}
    assert lengths == {int(rt60 * RATE) for rt60 in (0.5, 0.6, 0.7)}


def test_every_room_of_a_shard_has_its_own_reverberation_time(tmp_path):
    """A second between them: they are not joined for that alone."""
    data = rooms(tmp_path, 0.5, 4.0, gap=RATE)
    lengths = {len(data._room(np.random.default_rng(seed))) for seed in range(12)}
    assert 4 * RATE not in lengths
    assert RATE // 2 in lengths


def test_crops_that_cannot_be_read_are_silence_with_a_reason(tmp_path):
    recording = Recording("gone.wav", "speech", length=RATE, sample_rate=RATE, channels=1)
    write_manifest(tmp_path / MANIFEST_NAME, [recording])
    strategies = ({"weight": 1, "kinds": ["speech"]},)
    crop, problems = MixedCrops(DataRecipe(str(tmp_path), strategies=strategies), RATE, 1, seed=3)[0]
    assert crop.shape == (RATE, 1)
    assert not crop.any()
    assert len(problems) == ATTEMPTS
