"""What was there stays until the new file is whole."""

import os
from pathlib import Path

import pytest

from sonant.errors import SonantError
from sonant.whole_files import remove_partials, replacing, replacing_output


@pytest.mark.parametrize("write", [replacing, replacing_output])
def test_a_file_is_replaced_at_the_end(tmp_path: Path, write) -> None:
    target = tmp_path / "a.bin"
    target.write_text("old")
    with write(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("write", [replacing, replacing_output])
def test_an_error_leaves_what_was_there(tmp_path: Path, write) -> None:
    target = tmp_path / "a.bin"
    target.write_text("old")
    with pytest.raises(ZeroDivisionError), write(target) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_two_at_a_time_write_files_of_their_own(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    with replacing(target) as last:
        last.write_text("last")
        with replacing(target) as first:
            first.write_text("first")
        assert target.read_text() == "first"
    assert target.read_text() == "last"
    assert list(tmp_path.iterdir()) == [target]


def test_what_was_private_stays_private(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    target.touch(0o600)
    with replacing(target) as temporary:
        temporary.touch(0o644)
    assert target.stat().st_mode & 0o777 == 0o600


def test_a_link_stays(tmp_path: Path) -> None:
    target, link = tmp_path / "a.bin", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    with replacing_output(link) as temporary:
        temporary.write_text("new")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_a_place_that_does_not_exist_is_named(tmp_path: Path) -> None:
    target = tmp_path / "nowhere" / "a.bin"
    with (
        pytest.raises(SonantError, match="cannot be written"),
        replacing_output(target) as temporary,
    ):
        temporary.write_text("new")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [(PermissionError(13, "Permission denied"), "Permission denied"), (OSError("odd"), "odd")],
)
def test_errors_of_the_system_are_sentences(tmp_path: Path, error: OSError, sentence: str) -> None:
    with (
        pytest.raises(SonantError, match=f"a.bin: cannot be written .{sentence}"),
        replacing_output(tmp_path / "a.bin"),
    ):
        raise error


def test_a_file_for_which_there_is_no_room_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"No space left on device: .*a\.bin"), replacing(tmp_path / "a.bin"):
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("name", ["a" * 255, "ä" * 127, "b.ecdc"])
def test_a_name_may_be_as_long_as_the_system_allows(tmp_path: Path, name: str) -> None:
    target = tmp_path / name
    with replacing(target) as temporary:
        temporary.write_text("new")
        assert f".{os.getpid()}." in temporary.name
        killed = temporary.with_name(temporary.name.replace(str(os.getpid()), "12"))
        killed.touch()
    assert target.read_text() == "new"
    remove_partials(target)
    assert list(tmp_path.iterdir()) == [target]


def test_partials_of_a_longer_name_stay(tmp_path: Path) -> None:
    own, *others = (tmp_path / name for name in (".a.12.partial", ".a.b.12.partial", "12", ".a.12"))
    for file in (own, *others):
        file.touch()
    remove_partials(tmp_path / "a")
    assert not own.exists() and all(other.exists() for other in others)
