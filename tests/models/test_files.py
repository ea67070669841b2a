from pathlib import Path

import pytest

from models.files import create_directory, replace_file


class Stop(Exception):
    """What a check raises to refuse."""


def test_a_directory_appears_only_when_its_check_passes(tmp_path: Path) -> None:
    def refuse(made: Path) -> None:
        assert (made / "a").read_bytes() == b"1"
        assert not (tmp_path / "new").exists()
        raise Stop

    with pytest.raises(Stop):
        create_directory(tmp_path / "new", {"a": b"1"}, refuse)
    assert list(tmp_path.iterdir()) == []
    create_directory(tmp_path / "new", {"a": b"1"}, lambda made: None)
    assert [entry.name for entry in tmp_path.iterdir()] == ["new"]


def test_a_directory_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    with pytest.raises(FileExistsError):
        create_directory(tmp_path / "new", {"a": b"1"}, lambda made: None)
    assert [entry.name for entry in tmp_path.iterdir()] == ["new"]
    assert list((tmp_path / "new").iterdir()) == []


def test_a_file_is_replaced_as_a_whole_and_others_may_read_it(tmp_path: Path) -> None:
    for data in (b"old", b"new"):
        replace_file(tmp_path / "file", data)
    assert (tmp_path / "file").read_bytes() == b"new"
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
