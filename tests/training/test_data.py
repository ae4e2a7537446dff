"""Data: readers of dataset layouts, manifests, random access, packing, and files that are bad."""

import io
import json
import os
import pickle
import shutil
import sys
import tarfile
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sonant.errors import AudioError, ConfigError, SonantError
from sonant.training import access, datasets
from sonant.training import pack as packing
from sonant.training.access import SampleReader, TarMember, open_recording
from sonant.training.corpus import Corpus, neighbours_joined, with_channels
from sonant.training.datasets import list_recordings
from sonant.training.manifest import (
    MANIFEST_NAME,
    Recording,
    hours_by_kind,
    read_manifest,
    split_by_hash,
    validation_list,
    write_manifest,
)
from sonant.training.pack import TARGET_RMS, pack_recordings
from training.training_helpers import RATE, noise, tone


def write(path, audio=None, rate=RATE):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone(300, 0.2, rate) if audio is None else audio, rate)
    return path


def found(root, **options):
    recordings = list_recordings(root, **options)
    return recordings, Counter((r.kind, r.split) for r in recordings)


def test_dns_challenge(tmp_path):
    base = tmp_path / "datasets_fullband"
    write(base / "clean_fullband" / "german_speech" / "M-AILABS" / "a.wav")
    write(base / "clean_fullband" / "loose.wav")
    write(base / "clean_fullband" / "read_speech" / "b.wav")
    write(base / "noise_fullband" / "c.wav")
    write(base / "impulse_responses" / "SLR26" / "d.wav")
    recordings, _ = found(tmp_path)
    assert [r.kind for r in recordings] == ["speech"] * 3 + ["noise", "rir"]
    assert [r.language for r in recordings[:3]] == ["german", "", "read"]


def test_common_voice_takes_what_was_validated(tmp_path):
    german = tmp_path / "cv-corpus-7.0" / "de"
    names = [f"common_voice_de_{n}.mp3" for n in range(400)]
    for name in names:
        (german / "clips").mkdir(parents=True, exist_ok=True)
        (german / "clips" / name).touch()
    (german / "clips" / "rejected.mp3").touch()
    rows = ["client_id\tpath\tsentence\tup_votes", *(f'x\t{name}\tSo "ist es.\t2' for name in names)]
    (german / "validated.tsv").write_text("\n".join(rows))
    recordings, counts = found(tmp_path / "cv-corpus-7.0")
    assert len(recordings) == 400
    assert {r.language for r in recordings} == {"de"}
    assert {r.licence for r in recordings} == {"CC0-1.0"}
    assert counts["speech", "train"] >= 390
    assert {r.split for r in recordings} - {"train"} <= {"validation", "test"}


def test_audioset(tmp_path):
    header = "# Segments csv created\n# num_ytids=2\n# YTID, start_seconds, end_seconds, positive_labels\n"
    (tmp_path / "unbalanced_train_segments.csv").write_text(
        header + '--PJHxphWEs, 30.000, 40.000, "/m/09x0r"\n-0DLPzsiXXE, 0.0, 10.0, "/m/04rlf"\n'
    )
    (tmp_path / "eval_segments.csv").write_text(header + 'abcdefghijk, 0.0, 10.0, "/m/09x0r"\n')
    write(tmp_path / "unbalanced_train_segments" / "--PJHxphWEs_30.wav")
    write(tmp_path / "eval_segments" / "Yabcdefghijk.wav")
    recordings, counts = found(tmp_path)
    assert counts["general", "train"] == 1
    assert len(recordings) == 2
    assert {r.title for r in recordings} == {"--PJHxphWEs", "abcdefghijk"}
    assert all(r.split in ("validation", "test") for r in recordings if r.title == "abcdefghijk")


def test_fsd50k(tmp_path):
    write(tmp_path / "FSD50K.dev_audio" / "64760.wav")
    write(tmp_path / "FSD50K.eval_audio" / "37199.wav")
    (tmp_path / "FSD50K.metadata").mkdir()
    clips = {"64760": {"title": "rain", "license": "http://creativecommons.org/licenses/by/3.0/"}}
    (tmp_path / "FSD50K.metadata" / "dev_clips_info_FSD50K.json").write_text(json.dumps(clips))
    recordings, _ = found(tmp_path)
    assert recordings[0].split == "train"
    assert recordings[0].licence.endswith("by/3.0/")
    assert recordings[1].split in ("validation", "test")


def test_jamendo_keeps_an_artist_in_one_split(tmp_path):
    rows = ["TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS"]
    for track in range(1, 301):
        path = tmp_path / "audio" / f"{track % 100:02d}" / f"{track}.low.mp3"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        rows.append(f"track_{track:07d}\tartist_{track % 60:06d}\talbum_1\t{path.name}\t200\tgenre---x")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "autotagging.tsv").write_text("\n".join(rows))
    recordings, counts = found(tmp_path)
    assert len(recordings) == 300
    assert counts["music", "train"] > 200
    splits = {}
    for recording in recordings:
        splits.setdefault(int(recording.title) % 60, set()).add(recording.split)
    assert all(len(split) == 1 for split in splits.values())
    assert len({tuple(split) for split in splits.values()}) > 1


def test_an_indexed_corpus(tmp_path):
    write(tmp_path / "speech" / "x" / "a.wav")
    write(tmp_path / "speech" / "x" / "b.wav")
    (tmp_path / "index.tsv").write_text(
        "split\tkind\tlang\tpackage\tlicence\tbytes\tpath\n"
        "train\tspeech\ten\tx\tCC0\t1\tspeech/x/a.wav\n"
        "drop\tspeech\ten\tx\tCC0\t1\tspeech/x/b.wav\n"
    )
    recordings, _ = found(tmp_path)
    assert [(r.title, r.language, r.licence) for r in recordings] == [("speech/x/a.wav", "en", "CC0")]


def test_a_tar_is_read_in_place(tmp_path):
    audio = (tone(500, 0.5) * 32767).astype(np.int16)
    with tarfile.open(tmp_path / "set.tar", "w") as tar:
        for ending, subtype in (("wav", "PCM_16"), ("flac", "PCM_16")):
            data = io.BytesIO()
            soundfile.write(data, audio, RATE, format=ending.upper(), subtype=subtype)
            member = tarfile.TarInfo(f"clips/one.{ending}")
            member.size = len(data.getvalue())
            tar.addfile(member, io.BytesIO(data.getvalue()))
        tar.addfile(tarfile.TarInfo("notes.txt"))
    recordings, counts = found(tmp_path / "set.tar", kind="speech")
    assert sum(counts.values()) == 2
    reader = SampleReader()
    for recording in recordings:
        piece = reader.read(recording, 3000, 2000)[:, 0]
        np.testing.assert_array_equal(np.round(piece * 32768).astype(np.int16), audio[3000:5000])
    out = tmp_path / "index"
    assert list(pack_recordings(recordings, out, RATE, 1, "index")) == []
    assert all(r.length == len(audio) and r.size for r in read_manifest(out))


def test_an_empty_member_of_a_tar_is_told_by_its_name(tmp_path):
    write(tmp_path / "a.wav")
    with tarfile.open(tmp_path / "set.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("empty.wav"))
        tar.add(tmp_path / "a.wav", "a.wav")
    recordings = list_recordings(tmp_path / "set.tar")
    for form in ("pcm", "index"):
        problems = list(pack_recordings(recordings, tmp_path / form, RATE, 1, form))
        assert problems == [f"{tmp_path / 'set.tar'} (empty.wav): is empty"]
        assert [r.title for r in read_manifest(tmp_path / form)] == ["a.wav"]


@pytest.mark.parametrize("form", ["pcm", "index"])
def test_a_member_of_a_tar_without_samples_is_told_by_its_name(tmp_path, form):
    soundfile.write(tmp_path / "none.wav", np.zeros(0), RATE)
    with tarfile.open(tmp_path / "set.tar", "w") as tar:
        tar.add(tmp_path / "none.wav", "none.wav")
        tar.add(write(tmp_path / "a.wav"), "a.wav")
    (problem,) = pack_recordings(list_recordings(tmp_path / "set.tar"), tmp_path / form, RATE, 1, form)
    assert problem.startswith(f"{tmp_path / 'set.tar'} (none.wav): holds no samples")


def test_a_compressed_tar_is_refused_with_a_sentence(tmp_path):
    with tarfile.open(tmp_path / "set.tar", "w:gz") as tar:
        tar.add(write(tmp_path / "a.wav"))
    with pytest.raises(ConfigError, match="uncompressed tar"):
        list_recordings(tmp_path / "set.tar")


def test_a_list_of_paths(tmp_path):
    write(tmp_path / "a.wav")
    (tmp_path / "list.txt").write_text("# mine\na.wav\tmusic\tvalidation\nb.wav\n\n")
    recordings, counts = found(tmp_path / "list.txt", kind="speech")
    assert counts["music", "validation"] == 1
    assert [r.title for r in recordings] == ["a.wav", "b.wav"]
    assert recordings[1].kind == "speech"


def test_lists_tables_and_manifests_may_begin_with_a_byte_order_mark(tmp_path):
    mark = "\N{BYTE ORDER MARK}"
    (tmp_path / "list.txt").write_text(f"{mark}a.wav\n", "utf-8")
    (tmp_path / "list.jsonl").write_text(f'{mark}{{"file": "a.wav", "kind": "speech"}}\n', "utf-8")
    columns = "split\tkind\tlang\tpackage\tlicence\tbytes\tpath"
    row = "train\tspeech\ten\tx\tCC0\t1\ta.wav"
    (tmp_path / "index.tsv").write_text(f"{mark}{columns}\n{row}\n", "utf-8")
    for source in (tmp_path / "list.txt", tmp_path / "list.jsonl", tmp_path):
        assert [r.file for r in list_recordings(source)] == [str(tmp_path / "a.wav")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("musik\ttrain", "kind 'musik'; choose one of speech"),
        ("music\ttrian", "split 'trian'"),
        ("music\ttrain\n\0.wav", "a zero byte"),
    ],
)
def test_a_list_with_what_no_recipe_draws_is_refused(tmp_path, line, message):
    (tmp_path / "list.txt").write_text(f"a.wav\t{line}\n")
    with pytest.raises(ConfigError, match=message):
        list_recordings(tmp_path / "list.txt")


def test_what_is_not_there_is_a_sentence(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        list_recordings(tmp_path / "nothing")
    with pytest.raises(ConfigError, match="holds no recordings"):
        list_recordings(tmp_path)
    with pytest.raises(ConfigError, match="unknown layout"):
        list_recordings(tmp_path, layout="imaginary")


def test_manifests_keep_every_value(tmp_path):
    recordings = [
        Recording("a.opus", "speech", "validation", "set", "CC-BY", "ça", "t", 5, 9, 24000, 1, 16000, 0.5),
        Recording("b.tar", "music", offset=512, size=100),
    ]
    write_manifest(tmp_path / "manifest.jsonl", recordings)
    again = read_manifest(tmp_path)
    assert [r.file for r in again] == [str(tmp_path / "a.opus"), str(tmp_path / "b.tar")]
    from dataclasses import replace

    assert [replace(r, file=b.file) for r, b in zip(again, recordings, strict=True)] == recordings
    (tmp_path / "manifest.jsonl").write_text('{"file": "a", "kind": "speech"}\n{"file": 1, "colour": 2}\n')
    with pytest.raises(ConfigError, match="line 2"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"file": 5}, "file is text, not 5"),
        ({"kind": ["speech"]}, r'kind is text, not \["speech"\]'),
        ({"title": None}, "title is text, not null"),
        ({"length": "100"}, 'length is a whole number, not "100"'),
        ({"length": 0.5}, "length is a whole number, not 0.5"),
        ({"length": -1}, "length is -1"),
        ({"gain": float("nan")}, "gain is nan"),
        ({"length": 100, "channels": 1}, "a length, but no sample_rate"),
    ],
)
def test_values_that_no_recording_has_are_told_by_their_line(tmp_path, values, message):
    row = {"file": "a.wav", "kind": "speech"}
    lines = [json.dumps(row), json.dumps(row | values)]
    (tmp_path / MANIFEST_NAME).write_text("\n".join(lines))
    with pytest.raises(ConfigError, match=f"line 2: is no recording .*{message}"):
        read_manifest(tmp_path)


def test_hash_splits_keep_their_shares():
    names = [f"file {n}" for n in range(4000)]
    shares = {"train": 0.9, "validation": 0.06, "test": 0.04}
    counts = Counter(split_by_hash(name, shares) for name in names)
    for split, share in shares.items():
        assert counts[split] / 4000 == pytest.approx(share, abs=0.015)
    assert split_by_hash("file 7", shares) == split_by_hash("file 7", shares)


COLUMNS = b"client_id\tpath\tsentence\n"
INDEX = b"split\tkind\tlang\tpackage\tlicence\tbytes\tpath\n"


@pytest.mark.parametrize(
    ("layout", "name", "table"),
    [
        ("common-voice", "de/validated.tsv", b"client_id\tsentence\nx\tJa.\n"),
        ("common-voice", "de/validated.tsv", COLUMNS + b"x\ta.mp3\tSch\xf6n.\n"),
        ("common-voice", "de/validated.tsv", COLUMNS + b"x\ta.mp3\tJa.\nx\n"),
        ("common-voice", "de/validated.tsv", COLUMNS + b"x\ta.mp3\t" + 200_000 * b"a"),
        ("index", "index.tsv", b"speech/x/a.wav\nspeech/x/b.wav\n"),
        ("index", "index.tsv", INDEX + b"train\tspeech\ten\tx\n"),
        ("audioset", "eval_segments.csv", b"# Segments\nYTID, 0.0, 10.0, Caf\xe9\n"),
        ("fsd50k", "FSD50K.metadata/dev_clips_info_FSD50K.json", b'{"64760": {"title": "rain"'),
        ("fsd50k", "FSD50K.metadata/dev_clips_info_FSD50K.json", b'[{"title": "rain"}]'),
        ("jamendo", "autotagging.tsv", b"TRACK_ID\tARTIST_ID\ntrack_1\tCaf\xe9\n"),
    ],
)
def test_a_damaged_table_is_a_sentence(tmp_path, layout, name, table):
    write(tmp_path / "FSD50K.dev_audio" / "64760.wav")
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(table)
    with pytest.raises(ConfigError, match=f"its tables are not those of {layout}"):
        list_recordings(tmp_path, layout)


@pytest.mark.parametrize("ending", ["opus", "ogg", "flac", "mp3", "wav"])
def test_random_access_equals_reading_from_the_start(tmp_path, ending):
    path = tmp_path / f"long.{ending}"
    audio = np.concatenate([tone(200 + 40 * n, 0.5) for n in range(20)])
    options = {"format": "OGG", "subtype": "OPUS"} if ending == "opus" else {}
    with soundfile.SoundFile(path, "w", RATE, 1, **options) as file:
        for start in range(0, len(audio), RATE):
            file.write(audio[start : start + RATE])
    whole = soundfile.read(path, dtype="float32")[0]
    reader, recording = SampleReader(), Recording(str(path), "speech")
    for start in (0, 1, 30_001, 200_000):
        piece = reader.read(recording, start, 5000)[:, 0]
        np.testing.assert_allclose(
            piece, whole[start : start + 5000], atol=2e-3 if ending == "opus" else 1e-5
        )
    assert len(reader.read(recording, len(whole) - 10, 100)) == 10


def bad_files(root):
    write(root / "good.wav")
    (root / "empty.wav").touch()
    (root / "text.wav").write_text("this is no audio")
    write(root / "silent.wav", np.zeros(1000, np.float32))
    write(root / "no_samples.wav", np.zeros(0, np.float32))
    soundfile.write(root / "nan.wav", np.array([0.1, np.nan, 0.1], np.float32), RATE, subtype="FLOAT")
    return root


@pytest.mark.parametrize("form", ["pcm", "opus", "index"])
def test_bad_files_are_left_out_by_name(tmp_path, form):
    recordings = list_recordings(bad_files(tmp_path / "in"), kind="speech")
    recordings.append(Recording(str(tmp_path / "in" / "gone.wav"), "speech"))
    problems = list(pack_recordings(recordings, tmp_path / "out", RATE, 1, form))
    assert len(problems) == 6
    for name in ("empty", "text", "silent", "no_samples", "nan", "gone"):
        assert sum(f"{name}.wav" in problem for problem in problems) == 1, name
    packed = read_manifest(tmp_path / "out")
    assert len(packed) == 1
    assert packed[0].seconds == pytest.approx(0.2)
    assert not list((tmp_path / "out").glob("*.partial"))


def test_a_part_of_a_file_without_its_number_of_channels_is_indexed(tmp_path):
    path = write(tmp_path / "a.wav")
    part = Recording(str(path), "speech", start=1200, length=2400, sample_rate=RATE)
    assert not list(pack_recordings([part], tmp_path / "out", RATE, 1, "index"))
    (indexed,) = read_manifest(tmp_path / "out")
    assert (indexed.start, indexed.length, indexed.channels) == (1200, 2400, 1)


@pytest.mark.parametrize("form", ["pcm", "index"])
def test_a_file_of_two_sources_is_packed_once(tmp_path, form):
    speech = write(tmp_path / "in" / "speech" / "a.wav").parent
    (tmp_path / "in" / "link").symlink_to(speech)
    sources = (speech, tmp_path / "in")
    recordings = [recording for source in sources for recording in list_recordings(source, kind="music")]
    assert len(recordings) == 3
    problems = list(pack_recordings(recordings, tmp_path / "out", RATE, 1, form))
    assert [problem.partition(": is listed before, as ")[2] for problem in problems] == 2 * [
        str(speech / "a.wav")
    ]
    assert [recording.kind for recording in read_manifest(tmp_path / "out")] == ["music"]


def test_nothing_usable_is_an_error(tmp_path):
    (tmp_path / "a.wav").write_text("no audio")
    with pytest.raises(ConfigError, match="none of 1 recordings can be used"):
        list(pack_recordings(list_recordings(tmp_path), tmp_path / "out", RATE, 1, "pcm"))


def test_only_opus_has_a_bitrate(tmp_path):
    with pytest.raises(ConfigError, match="only Opus shards have a bitrate, not index"):
        list(pack_recordings([Recording("a", "speech")], tmp_path, RATE, 1, "index", 64.0))


def test_opus_shards_need_a_rate_of_opus(tmp_path):
    with pytest.raises(ConfigError, match="22050"):
        list(pack_recordings([Recording("a", "speech")], tmp_path, 22_050, 1))


@pytest.mark.skipif(sys.platform != "linux", reason="names are any bytes on Linux")
@pytest.mark.parametrize("form", ["pcm", "index"])
def test_names_that_are_no_utf_8_are_packed(tmp_path, form):
    write(tmp_path / "in" / "a.wav", tone(440, 2)).rename(tmp_path / "in" / os.fsdecode(b"caf\xe9.wav"))
    assert list(pack_recordings(list_recordings(tmp_path / "in"), tmp_path / "out", RATE, 1, form)) == []
    (recording,) = read_manifest(tmp_path / "out")
    assert os.fsencode(recording.title or recording.file).endswith(b"caf\xe9.wav")
    assert SampleReader().read(recording, 0, 100).shape == (100, 1)


@pytest.mark.parametrize("form", ["pcm", "opus", "index"])
def test_a_pack_gives_back_the_audio_at_its_level(tmp_path, form):
    quiet = tone(440, 1.0, 44_100, level=0.01)
    write(tmp_path / "in" / "train" / "speech" / "a.wav", np.stack([quiet, quiet], 1), 44_100)
    list(pack_recordings(list_recordings(tmp_path / "in"), tmp_path / "out", RATE, 1, form))
    corpus = Corpus([tmp_path / "out"], RATE, 1)
    (recording,) = corpus.recordings("train-speech")
    assert recording.native_rate == 44_100
    audio = corpus.read(recording, 0, RATE)[:, 0]
    assert np.sqrt(np.mean(audio**2)) == pytest.approx(TARGET_RMS, rel=0.05)
    expected = tone(440, 1.0)
    correlation = np.dot(audio, expected) / np.linalg.norm(audio) / np.linalg.norm(expected)
    assert correlation > 0.99


def test_the_validation_list_is_fixed_and_short(tmp_path):
    recordings = [
        Recording("v.pcm", "speech", "validation", title=f"{n:03d}", start=n * 480_000, length=480_000,
                  sample_rate=RATE, channels=1)
        for n in range(120)
    ]  # fmt: skip
    recordings.append(Recording("t.pcm", "speech", length=480_000, sample_rate=RATE, channels=1))
    chosen = validation_list(recordings)
    assert chosen == validation_list(recordings[::-1])
    assert len(chosen) == 50
    assert {r.seconds for r in chosen} == {10.0}
    assert chosen[0].start == 120_000
    assert hours_by_kind(recordings)["validation-speech"] == pytest.approx(120 * 20 / 3600)


def test_neighbours_of_one_voice_are_joined():
    def part(start, **changes):
        values = {"source": "x", "language": "de", "length": 100, "sample_rate": RATE, "channels": 1}
        return Recording("a.pcm", "speech", start=start, **{**values, **changes})

    second = [part(6100), part(6200, language="fr"), part(12_301, language="fr")]
    joined = neighbours_joined([part(0), *second])
    assert [(r.start, r.length) for r in joined] == [(0, 6200), (6200, 100), (12_301, 100)]


@pytest.mark.parametrize("rate", [8000, 48_000])
def test_neighbours_are_joined_whatever_the_rate_of_the_corpus(corpus_folder, tmp_path, rate):
    recordings = [r for r in list_recordings(corpus_folder) if r.kind == "noise"]
    list(pack_recordings(recordings, tmp_path, RATE, 1, "pcm"))
    (joined,) = Corpus([tmp_path], rate, 1).recordings("train-noise")
    assert joined.seconds == pytest.approx(3 * 1.0 + 2 * packing.PAUSE_SECONDS)


def test_crops_are_drawn_evenly_over_time(tmp_path):
    for name, seconds in (("long", 9.0), ("short", 1.0)):
        write(tmp_path / "in" / "train" / "speech" / f"{name}.wav", noise(seconds) + (name == "long") * 0.2)
    list(pack_recordings(list_recordings(tmp_path / "in"), tmp_path / "out", RATE, 1, "index"))
    corpus, random = Corpus([tmp_path / "out"], RATE, 1), np.random.default_rng(0)
    crops = [corpus.crop("train-speech", 2400, random) for _ in range(300)]
    share = np.mean([crop.mean() > 0.02 for crop in crops])
    assert share == pytest.approx(0.9, abs=0.05)
    with pytest.raises(ConfigError, match="no train-music"):
        corpus.crop("train-music", 100, random)


def test_a_short_recording_ends_in_zeros(pack):
    corpus = Corpus([pack], RATE, 1)
    crop = corpus.crop("train-noise", 10 * RATE, np.random.default_rng(0))
    assert crop.shape == (10 * RATE, 1)
    assert crop[: RATE // 2].any()
    assert not crop[-RATE:].any()


def test_without_recordings_of_a_high_rate_any_will_do(pack):
    corpus, random = Corpus([pack], RATE, 1), np.random.default_rng(0)
    assert corpus.crop("train-speech", 100, random, full_band=True).shape == (100, 1)


def test_channels():
    stereo = np.array([[1.0, 3.0], [0.0, 2.0]], np.float32)
    assert with_channels(stereo, 1).tolist() == [[2.0], [1.0]]
    assert with_channels(with_channels(stereo, 1), 2).tolist() == [[2.0, 2.0], [1.0, 1.0]]


def test_a_file_that_vanishes_is_an_audio_error(tmp_path):
    with pytest.raises(AudioError, match=r"gone.flac"):
        SampleReader().read(Recording(str(tmp_path / "gone.flac"), "speech"), 0, 10)


def test_rooms_of_dns_are_there_to_train_with(tmp_path):
    """`MixedCrops` looks for `train-rir`."""
    write(tmp_path / "clean_fullband" / "read_speech" / "b.wav")
    write(tmp_path / "impulse_responses" / "SLR26" / "d.wav")
    _, counts = found(tmp_path)
    assert counts["rir", "train"] == 1


def test_the_splits_are_those_of_the_paper():
    def shares(train, each):
        return {"train": train, "validation": each, "test": each}

    assert shares(0.98, 0.01) == datasets.DNS_SPLIT
    assert shares(0.995, 0.0025) == datasets.COMMON_VOICE_SPLIT
    assert shares(0.96, 0.02) == datasets.JAMENDO_SPLIT


def test_flat_files_hold_32768ths(tmp_path):
    np.array([-32768, 16384, 1], "<i2").tofile(tmp_path / "a.pcm")
    recording = Recording(str(tmp_path / "a.pcm"), "speech", channels=1, length=3)
    assert SampleReader().read(recording, 0, 3)[:, 0].tolist() == [-1, 0.5, 2**-15]


def test_a_member_of_a_tar_ends_where_the_next_begins(tmp_path):
    (tmp_path / "a").write_bytes(b"beforeinsideafter")
    member = TarMember(str(tmp_path / "a"), 6, 6)
    assert member.read(100) == b"inside"
    assert member.seek(-2, io.SEEK_END) == 4
    assert member.read(100) == b"de"
    assert member.read(1) == b""


def test_full_band_means_recordings_of_a_high_rate_alone(tmp_path):
    recordings = []
    for name, level, native in (("high", 0.5, 48_000), ("low", -0.5, 16_000)):
        np.full(9 * RATE, level * 32768, "<i2").tofile(tmp_path / f"{name}.pcm")
        recordings.append(
            Recording(
                f"{name}.pcm", "speech", length=9 * RATE, sample_rate=RATE, channels=1, native_rate=native
            )
        )
    write_manifest(tmp_path / MANIFEST_NAME, recordings)
    corpus, random = Corpus([tmp_path], RATE, 1), np.random.default_rng(0)
    for full_band, expected in ((True, {0.5}), (False, {0.5, -0.5})):
        assert {corpus.crop("train-speech", 9, random, full_band)[0, 0] for _ in range(20)} == expected


def test_only_neighbours_that_are_alike_are_joined():
    def part(start, native=48_000):
        return Recording(
            "a.pcm", "speech", start=start, length=100, sample_rate=RATE, channels=1, native_rate=native
        )

    for apart in ([part(0), part(50)], [part(100), part(0)], [part(0), part(110, native=16_000)]):
        assert neighbours_joined(apart) == apart


@pytest.mark.parametrize("form", ["opus", "pcm", "index"])
def test_a_corpus_that_has_been_read_goes_to_other_processes(corpus_folder, tmp_path, form):
    assert not list(pack_recordings(list_recordings(corpus_folder), tmp_path, RATE, 1, form))
    corpus = Corpus([tmp_path], RATE, 1)
    first, again = (
        read.crop("train-speech", 2400, np.random.default_rng(0))
        for read in (corpus, pickle.loads(pickle.dumps(corpus)))
    )
    assert first.any()
    np.testing.assert_array_equal(first, again)


def test_files_that_were_closed_are_opened_again(tmp_path, monkeypatch):
    monkeypatch.setattr(access, "OPEN_FILES", 1)
    recordings = []
    for name, value in (("a", 0.25), ("b", -0.5)):
        soundfile.write(tmp_path / f"{name}.wav", np.full(100, value, np.float32), RATE)
        recordings.append(Recording(str(tmp_path / f"{name}.wav"), "speech"))
    reader = SampleReader()
    values = [reader.read(recordings[k], 0, 1)[0, 0] for k in (0, 1, 0, 1)]
    assert values == [0.25, -0.5, 0.25, -0.5]


def test_the_validation_list_is_spread_over_the_names_and_has_no_rooms():
    recordings = [
        Recording("v.pcm", kind, "validation", title=f"{n:03d}", length=RATE, sample_rate=RATE)
        for kind in ("speech", "rir")
        for n in range(120)
    ]
    chosen = validation_list(recordings)
    assert {r.kind for r in chosen} == {"speech"}
    assert [r.title for r in chosen] == [f"{place * 120 // 50:03d}" for place in range(50)]


def test_a_level_below_clipping_comes_first():
    audio = np.zeros((RATE, 1), np.float32)
    audio[0] = -0.5
    assert packing.level_gain(audio) == pytest.approx(packing.PEAK_LIMIT / 0.5)


def test_every_shard_has_a_name_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "_estimated_seconds", lambda _: packing.SHARD_SECONDS)
    recordings = [Recording(f"{n}.wav", "speech") for n in range(3)]
    jobs = packing._shard_jobs(recordings, tmp_path, "pcm")
    assert [path.name for path, _ in jobs] == [f"train-speech-{n:04d}.pcm" for n in range(3)]
    assert [batch for _, batch in jobs] == [[recording] for recording in recordings]


def test_a_flat_file_that_was_cut_is_an_audio_error(tmp_path):
    np.zeros(5, "<i2").tofile(tmp_path / "a.pcm")
    write_manifest(
        tmp_path / MANIFEST_NAME, [Recording("a.pcm", "music", length=3, sample_rate=RATE, channels=2)]
    )
    corpus = Corpus([tmp_path], RATE, 2)
    with pytest.raises(AudioError, match=r"a\.pcm: cannot be read"):
        corpus.crop("train-music", 3, np.random.default_rng(0))


@pytest.mark.parametrize("form", ["pcm", "index"])
def test_a_pack_can_be_packed_again(pack, tmp_path, form):
    recordings = list_recordings(pack)
    assert list(pack_recordings(recordings, tmp_path, RATE, 1, form)) == []
    again = read_manifest(tmp_path)
    assert [(r.kind, r.title, r.length, r.native_rate) for r in again] == [
        (r.kind, r.title, r.length, r.native_rate) for r in recordings
    ]
    first, second = Corpus([pack], RATE, 1), Corpus([tmp_path], RATE, 1)
    for old, new in zip(recordings, again, strict=True):
        np.testing.assert_allclose(
            first.read(old, 0, 9000), second.read(new, 0, 9000), rtol=1e-2, atol=2e-4
        )


def test_an_interrupted_pack_leaves_none(pack, tmp_path, monkeypatch):
    recordings = list_recordings(pack)
    assert list(pack_recordings(recordings, tmp_path, RATE, 1, "pcm")) == []
    monkeypatch.setattr(packing, "in_order", None)
    with pytest.raises(TypeError):
        list(pack_recordings(recordings, tmp_path, 16_000, 2, "pcm"))
    with pytest.raises(ConfigError):
        Corpus([tmp_path], RATE, 1)


def pack_until(monkeypatch, broken, recordings, out, **settings):
    """Pack in this process, which dies at the shard of that name; returns the names of those written."""
    written = []
    write_shard = packing._write_shard

    def write(path, *arguments):
        if path.name == broken:
            raise KeyboardInterrupt
        written.append(path.name)
        return write_shard(path, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(packing, "_write_shard", write)
        with pytest.raises(KeyboardInterrupt) if broken else nullcontext():
            list(pack_recordings(recordings, out, **{"sample_rate": RATE, "channels": 1, **settings}))
    return written


@pytest.mark.parametrize("form", ["pcm", "opus"])
def test_an_interrupted_pack_goes_on_where_it_stopped(corpus_folder, tmp_path, monkeypatch, form):
    bad = corpus_folder / "noise" / "bad.wav"
    recordings = [*list_recordings(corpus_folder), Recording(str(bad), "noise")]
    whole = tmp_path / "whole"
    names = pack_until(monkeypatch, None, recordings, whole, form=form)
    assert len(names) > 2

    out = tmp_path / "out"
    assert pack_until(monkeypatch, names[2], recordings, out, form=form) == names[:2]
    stranger = out / "to do.note"
    stranger.touch()
    assert pack_until(monkeypatch, None, recordings, out, form=form) == names[2:]
    stranger.unlink()
    for path in whole.iterdir():
        if path.suffix != ".opus":
            assert (out / path.name).read_bytes() == path.read_bytes()
    assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in whole.iterdir())
    assert pack_until(monkeypatch, None, recordings, out, form=form) == names, "a whole pack is made anew"


def test_what_changed_meanwhile_is_packed_again(corpus_folder, tmp_path, monkeypatch):
    folder = shutil.copytree(corpus_folder, tmp_path / "corpus")
    recordings = list_recordings(folder)
    names = pack_until(monkeypatch, None, recordings, tmp_path / "whole", form="pcm")
    out = tmp_path / "out"
    pack_until(monkeypatch, names[-1], recordings, out, form="pcm")
    (out / names[1]).unlink()
    first = next(r for r in recordings if f"{r.split}-{r.kind}" == names[0].rpartition("-")[0])
    os.utime(first.file, (0, 0))
    assert pack_until(monkeypatch, names[-1], recordings, out, form="pcm") == names[:2]
    again = pack_until(monkeypatch, None, recordings, out, form="pcm", sample_rate=16_000)
    assert again == names


def test_what_other_calls_have_left_goes(corpus_folder, tmp_path, monkeypatch):
    recordings = list_recordings(corpus_folder)
    names = pack_until(monkeypatch, None, recordings, tmp_path / "whole", form="pcm")
    kept = [r for r in recordings if f"{r.split}-{r.kind}" == names[0].rpartition("-")[0]]
    out = tmp_path / "out"
    pack_until(monkeypatch, names[2], recordings, out, form="pcm")
    own = out / names[1]
    with pytest.raises(ConfigError, match="holds what is to be packed"):
        list(pack_recordings([Recording(str(own), "noise"), *kept], out, RATE, 1, "pcm"))
    assert own.exists()
    assert pack_until(monkeypatch, None, kept, out, form="pcm") == []
    assert {path.name for path in out.iterdir()} == {names[0], "manifest.jsonl", "validation.jsonl"}


@pytest.mark.parametrize(
    "note", ['{"key"', '{"key": "of another version", "packed": [{"key": 1}], "problems": []}']
)
def test_a_damaged_note_is_none(corpus_folder, tmp_path, monkeypatch, note):
    recordings = list_recordings(corpus_folder)
    names = pack_until(monkeypatch, None, recordings, tmp_path / "whole", form="pcm")
    out = tmp_path / "out"
    pack_until(monkeypatch, names[2], recordings, out, form="pcm")
    (out / f"{names[0]}.note").write_text(note)
    assert pack_until(monkeypatch, None, recordings, out, form="pcm") == [names[0], *names[2:]]


@pytest.mark.parametrize("form", ["pcm", "opus"])
def test_an_interrupted_shard_goes(corpus_folder, tmp_path, monkeypatch, form):
    usable, used = packing._usable, []

    def use(recording, *settings):
        used.append(recording)
        if len(used) == 2:
            raise KeyboardInterrupt
        return usable(recording, *settings)

    monkeypatch.setattr(packing, "_usable", use)
    with pytest.raises(KeyboardInterrupt):
        list(pack_recordings(list_recordings(corpus_folder), tmp_path, RATE, 1, form))
    assert not list(tmp_path.iterdir())


def test_a_shard_that_cannot_be_written_is_a_sentence(corpus_folder, tmp_path):
    recordings = list_recordings(corpus_folder)
    (tmp_path / "train-noise-0000.pcm").mkdir()
    with pytest.raises(SonantError, match=r"train-noise-0000\.pcm: "):
        list(pack_recordings(recordings, tmp_path, RATE, 1, "pcm"))
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("jobs", [1, 3])
def test_an_index_is_shared_out_over_all_processes(corpus_folder, tmp_path, monkeypatch, jobs):
    recordings = list_recordings(bad_files(tmp_path / "in"), kind="speech") + list_recordings(corpus_folder)
    problems = list(pack_recordings(recordings, tmp_path / "out", RATE, 1, "index", jobs=jobs))
    measured, expected = packing._measure(recordings)
    assert problems == expected
    assert read_manifest(tmp_path / "out") == measured
    parts = packing._parts(recordings, jobs)
    assert len(parts) >= 2 * jobs
    assert [recording for part in parts for recording in part] == recordings


def test_parts_of_a_long_list_are_no_longer_than_500():
    recordings = [Recording("a.wav", "speech")] * 9001
    assert {len(part) for part in packing._parts(recordings, 2)} == {500, 1}
    assert packing._parts([], 2) == []


def test_a_pack_is_not_packed_over_itself(pack):
    before = read_manifest(pack)
    with pytest.raises(ConfigError, match="holds what is to be packed"):
        list(pack_recordings(list_recordings(pack), pack, 16_000, 1, "pcm"))
    assert read_manifest(pack) == before


def test_a_passage_goes_on_with_other_recordings(pack):
    corpus = Corpus([pack], RATE, 1)
    passage = corpus.passage("train-noise", 10 * RATE, np.random.default_rng(0))
    assert passage.shape == (10 * RATE, 1)
    silent = sum(not part.any() for part in np.split(passage, 100))
    assert silent < 10, "more than what lies between recordings"
    short = [read("train-speech", 100, np.random.default_rng(3)) for read in (corpus.crop, corpus.passage)]
    np.testing.assert_array_equal(*short)


def test_an_index_leaves_out_a_wav_whose_header_has_no_size_and_a_shard_has_it(tmp_path):
    folder = tmp_path / "speech"
    folder.mkdir()
    for name in ("a", "b"):
        soundfile.write(folder / f"{name}.wav", tone(500, 1.0), RATE)
    data = bytearray((folder / "a.wav").read_bytes())
    data[40:44] = bytes(4)
    (folder / "a.wav").write_bytes(data)
    recordings = list_recordings(folder, "folder", "speech")
    problems = list(pack_recordings(recordings, tmp_path / "index", RATE, 1, "index"))
    assert len(problems) == 1 and "a.wav: holds no samples" in problems[0]
    assert list(pack_recordings(recordings, tmp_path / "flat", RATE, 1, "pcm")) == []


def flac_of_unknown_length(path, seconds):
    """As a program writes it to a pipe."""
    soundfile.write(path, noise(seconds), RATE)
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    path.write_bytes(data)
    return data


def test_a_flac_of_unknown_length_fills_no_shard(tmp_path):
    data = flac_of_unknown_length(tmp_path / "a.flac", 1.0)
    (recording,) = list_recordings(tmp_path, "folder", "speech")
    assert packing._estimated_seconds(recording) == len(data) / 8000
    with tarfile.open(tmp_path / "set.tar", "w") as tar:
        tar.add(tmp_path / "a.flac", "a.flac")
        tar.add(tmp_path / "a.flac", "b.flac")
    for member in list_recordings(tmp_path / "set.tar"):
        assert packing._estimated_seconds(member) == len(data) / 8000


@pytest.mark.parametrize("form", ["pcm", "index"])
@pytest.mark.parametrize("in_a_tar", [False, True])
def test_a_flac_of_unknown_length_is_packed_whole(tmp_path, form, in_a_tar):
    (tmp_path / "in").mkdir()
    flac_of_unknown_length(tmp_path / "in" / "a.flac", 10.0)
    if in_a_tar:
        with tarfile.open(tmp_path / "set.tar", "w") as tar:
            tar.add(tmp_path / "in" / "a.flac", "a.flac")
    recordings = list_recordings(tmp_path / ("set.tar" if in_a_tar else "in"), kind="speech")
    assert list(pack_recordings(recordings, tmp_path / "out", RATE, 1, form)) == []
    (recording,) = read_manifest(tmp_path / "out")
    assert recording.length == 10 * RATE
    corpus = Corpus([tmp_path / "out"], RATE, 1)
    pieces = [corpus.read(recording, start, 2 * RATE) for start in (8 * RATE, 0, 9 * RATE, 100)]
    whole = corpus.read(recording, 0, 10 * RATE)
    for piece, start in zip(pieces, (8 * RATE, 0, 9 * RATE, 100), strict=True):
        expected = whole[start : start + 2 * RATE]
        np.testing.assert_array_equal(piece[: len(expected)], expected)


def test_what_is_wrong_is_told_without_the_names_of_objects(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        (tmp_path / "x.wav").write_bytes(b"abc" * 100)
        tar.add(tmp_path / "x.wav", "x.wav")
    (recording,) = list_recordings(tmp_path / "a.tar")
    with pytest.raises(AudioError, match=r"a\.tar \(x\.wav\): is not audio that can be read \(Format not"):
        open_recording(recording)
