import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.compiled import cache as module
from models.compiled.cache import Cache, CacheUnusable, decode, encode
from models.compiled.identity import Identity

ONE = Identity("ab" * 32, "0.44.0", "x86_64-linux cpu +sse")
OTHERS = [
    replace(ONE, model="cd" * 32),
    replace(ONE, llvmlite="0.43.0"),
    replace(ONE, processor="x86_64-linux cpu +sse,+avx"),
    replace(ONE, revision=ONE.revision + 1),
]
CODE = bytes(range(256)) * 3


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "some" / "where")


def test_what_was_written_is_read(cache: Cache) -> None:
    assert cache.read(ONE) is None
    assert cache.stamp(ONE) is None
    path = cache.write(ONE, CODE)
    assert path == cache.path(ONE)
    assert cache.read(ONE) == CODE
    assert [entry.name for entry in cache.directory.iterdir()] == [path.name]
    before = cache.stamp(ONE)
    cache.write(ONE, CODE + b"!")
    assert cache.read(ONE) == CODE + b"!"
    assert cache.stamp(ONE) != before


def test_a_directory_that_is_made_is_ours_alone(cache: Cache) -> None:
    cache.write(ONE, CODE)
    assert cache.directory.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("other", OTHERS)
def test_code_of_anything_else_is_not_found(cache: Cache, other: Identity) -> None:
    cache.write(ONE, CODE)
    assert cache.read(other) is None


@pytest.mark.parametrize("other", OTHERS)
def test_a_file_under_another_name_is_refused(cache: Cache, other: Identity) -> None:
    cache.write(ONE, CODE).rename(cache.path(other))
    with pytest.raises(CacheUnusable, match="is damaged: it was made of another model"):
        cache.read(other)


@given(st.integers(0, len(encode(ONE, CODE)) - 1), st.integers(1, 255))
def test_no_changed_byte_goes_unnoticed(at: int, change: int) -> None:
    data = bytearray(encode(ONE, CODE))
    data[at] ^= change
    try:
        code = decode(ONE, bytes(data))
    except ValueError:
        return
    assert code == CODE  # a byte of the header that means the same


@given(st.integers(0, len(encode(ONE, CODE)) - 1))
def test_a_file_that_was_cut_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(ONE, encode(ONE, CODE)[:length])


def test_a_damaged_file_is_replaced_by_writing_it_again(cache: Cache) -> None:
    path = cache.write(ONE, CODE)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(CacheUnusable, match=r"is damaged: its SHA-256 is not"):
        cache.read(ONE)
    cache.write(ONE, CODE)
    assert cache.read(ONE) == CODE


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_directory_that_others_may_write_is_not_used(cache: Cache, mode: int) -> None:
    cache.write(ONE, CODE)
    cache.directory.chmod(mode)
    with pytest.raises(CacheUnusable, match=r"where: others may write it"):
        cache.read(ONE)
    with pytest.raises(CacheUnusable, match=r"where: others may write it"):
        cache.write(ONE, CODE)


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_a_file_that_others_may_write_is_not_used(cache: Cache, mode: int) -> None:
    cache.write(ONE, CODE).chmod(mode)
    with pytest.raises(CacheUnusable, match="others may write it"):
        cache.read(ONE)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("which", ["directory", "file"])
def test_what_belongs_to_somebody_else_is_not_used(cache: Cache, which: str) -> None:
    path = cache.write(ONE, CODE)
    os.chown(cache.directory if which == "directory" else path, 12_345, -1)
    with pytest.raises(CacheUnusable, match="belongs to user 12345"):
        cache.read(ONE)


def test_a_link_is_not_followed(cache: Cache, tmp_path: Path) -> None:
    elsewhere = cache.write(ONE, CODE).rename(tmp_path / "elsewhere")
    cache.path(ONE).symlink_to(elsewhere)
    with pytest.raises(CacheUnusable, match="cannot be read"):
        cache.read(ONE)


@pytest.mark.parametrize("kind", ["directory", "fifo"])
def test_what_is_no_plain_file_is_refused_without_waiting_for_it(cache: Cache, kind: str) -> None:
    cache.write(replace(ONE, model="ef" * 32), CODE)
    if kind == "fifo":
        os.mkfifo(cache.path(ONE), 0o600)
    else:
        cache.path(ONE).mkdir(mode=0o700)
    with pytest.raises(CacheUnusable):
        cache.read(ONE)


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheUnusable, match="cannot be made"):
        Cache(tmp_path / "file" / "below").write(ONE, CODE)


def test_only_the_newest_files_are_kept(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT", 3)
    identities = [replace(ONE, model=f"{at:064d}") for at in range(5)]
    for at, identity in enumerate(identities):
        os.utime(cache.write(identity, CODE), (at, at))
    cache.write(ONE, CODE)
    kept = [identity for identity in [*identities, ONE] if cache.read(identity)]
    assert kept == [*identities[3:], ONE]
