"""Disks that fill up during a run: what cannot be written is told of, and the run goes on."""

import json
from contextlib import contextmanager

import pytest
import torch
from tensorboard.summary.writer.record_writer import RecordWriter

from sonant.training.loop import Trainer
from sonant.training.monitor import Monitor
from sonant.training.progress import ProgressLine
from training.training_helpers import losses, with_steps


@contextmanager
def files_up_to(size):
    """Files cannot grow beyond so many bytes: what does not fit is cut, as on a full disk."""
    resource = pytest.importorskip("resource", reason="limits of processes are those of Unix")
    _, hard = before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_rows_that_do_not_fit_leave_the_log_whole(tmp_path, capsys):
    log = tmp_path / "log.jsonl"
    progress = ProgressLine(log, 1)
    progress.record(1, {"mel": 1.0})
    with files_up_to(log.stat().st_size + 10):
        for step in (2, 3):
            progress.record(step, {"mel": 1.0})
    progress.record(4, {"mel": 1.0})
    assert [json.loads(line)["step"] for line in log.read_text().splitlines()] == [1, 4]
    assert capsys.readouterr().err == f"{log}: not every row is written (File too large)\n"


def test_a_log_that_cannot_be_opened_is_told_of_once(tmp_path, capsys):
    progress = ProgressLine(tmp_path / "gone" / "log.jsonl", 1)
    for step in (1, 2):
        assert progress.update(step, {"mel": 1.0}, 1.0, 0.5)
    assert capsys.readouterr().err.count("not every row is written (No such file or directory)") == 1


def fail(*_):
    raise OSError(28, "No space left on device")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_run_goes_on_without_tensorboard(tiny_recipe, tmp_path, monkeypatch, capsys):
    recipe = with_steps(tiny_recipe(run={"listen_every": 2}), 4)
    trainer, train_step = Trainer(recipe, tmp_path), Trainer._train_step

    def on_a_disk_full_from_step_1(self, *values):
        if self.step == 1:
            monkeypatch.setattr(RecordWriter, "write", fail)
        return train_step(self, *values)

    monkeypatch.setattr(Trainer, "_train_step", on_a_disk_full_from_step_1)
    trainer.run()
    assert capsys.readouterr().err.count("no more TensorBoard events (No space left on device)") == 1
    assert (tmp_path / "checkpoint.pt").exists()
    heard = [row["step"] for row in losses(tmp_path) if "validation/music SI-SNR" in row]
    assert heard == [2, 4]


def test_events_that_cannot_be_written_at_the_end_are_told_of(tmp_path, monkeypatch, capsys):
    monitor = Monitor(tmp_path, 24_000)
    monkeypatch.setattr(RecordWriter, "flush", fail)
    monitor.curves(1, {"mel": 1.0})
    monitor.close()
    monitor.curves(2, {"mel": 1.0})
    audio = torch.ones(1, 4800, 1)
    assert monitor.listen(2, "music", audio, audio).keys() == {"validation/music SI-SNR"}
    assert capsys.readouterr().err.count("no more TensorBoard events") == 1
