"""Where compiled code is kept: a directory, a file for each identity, verified before it is loaded.

A file is a line of JSON, which says what the code is of and its SHA-256, and the code. Loading it is running
it: so directory and file must be ours, or root's, and nobody else may be able to write them.
"""

import os
import stat
from contextlib import suppress
from pathlib import Path

import msgspec

from models.compiled.identity import Identity
from models.files import replace_file
from models.manifest import sha256

SUFFIX = ".compiled"
KEPT = 50
"""So many files stay, the last written ones."""
BYTES_MAX = 1 << 30


class CacheUnusable(Exception):
    """A directory or file that must not be loaded from or cannot be written. The text says which and why."""


class _Header(msgspec.Struct, frozen=True):
    identity: Identity
    sha256: str


def encode(identity: Identity, code: bytes) -> bytes:
    return msgspec.json.encode(_Header(identity, sha256(code))) + b"\n" + code


def decode(identity: Identity, data: bytes) -> bytes:
    """The code. Raises `ValueError` for what is damaged or of another identity."""
    line, _, code = data.partition(b"\n")
    header = msgspec.json.decode(line, type=_Header)
    if header.identity != identity:
        raise ValueError("it was made of another model, by other versions or for another processor")
    if sha256(code) != header.sha256:
        raise ValueError("its SHA-256 is not the one that it names")
    return code


class Cache:
    """A directory of compiled code."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, identity: Identity) -> Path:
        return self.directory / f"{identity.name}{SUFFIX}"

    def stamp(self, identity: Identity) -> tuple[int, int, int] | None:
        """What changes when the file is replaced; None while there is none."""
        try:
            status = self.path(identity).stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size

    def read(self, identity: Identity) -> bytes | None:
        """The code; None where there is none. Raises `CacheUnusable`."""
        path = self.path(identity)
        try:
            data = self._read(path)
            return None if data is None else decode(identity, data)
        except OSError as error:
            raise CacheUnusable(f"{path}: cannot be read: {error.strerror or error}") from error
        except ValueError as error:
            raise CacheUnusable(f"{path}: is damaged: {error}") from error

    def prepare(self) -> None:
        """Make the directory where there is none. Raises `CacheUnusable` where it cannot keep code."""
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            _trust(self.directory, self.directory.stat())
        except OSError as error:
            raise CacheUnusable(f"{self.directory}: cannot be made: {error.strerror or error}") from error

    def write(self, identity: Identity, code: bytes) -> Path:
        """Keep code; whoever reads finds the old file or the new one. Raises `CacheUnusable`."""
        path = self.path(identity)
        self.prepare()
        try:
            replace_file(path, encode(identity, code))
            self._forget_old()
        except OSError as error:
            raise CacheUnusable(f"{path}: cannot be written: {error.strerror or error}") from error
        return path

    def _read(self, path: Path) -> bytes | None:
        """The file in the very directory that was judged, whatever its path means by then."""
        try:
            folder = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            return None
        try:
            _trust(self.directory, os.fstat(folder))
            try:
                handle = os.open(path.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
            except FileNotFoundError:
                return None
        finally:
            os.close(folder)
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(handle)
            _trust(path, status)
            if not stat.S_ISREG(status.st_mode) or status.st_size > BYTES_MAX:
                raise CacheUnusable(f"{path}: is no plain file of at most {BYTES_MAX:,} bytes")
            return file.read(BYTES_MAX)

    def _forget_old(self) -> None:
        with suppress(OSError):  # another worker may do the same
            for path in sorted(self.directory.glob(f"*{SUFFIX}"), key=lambda path: path.stat().st_mtime)[
                :-KEPT
            ]:
                path.unlink()


def _trust(path: Path, status: os.stat_result) -> None:
    """Raises `CacheUnusable` where somebody else could have put code there."""
    if status.st_uid not in (0, os.geteuid()):
        raise CacheUnusable(f"{path}: belongs to user {status.st_uid}, not to us ({os.geteuid()}) or root")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise CacheUnusable(f"{path}: others may write it; take that right away (chmod go-w)")
