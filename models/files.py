"""Writing files and directories so that a crash leaves the old or the new, never a part."""

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path


def replace_file(path: Path, data: bytes) -> None:
    """Write `data` beside `path` and rename it into place."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), 0o644)  # mkstemp's 0600 would shut out a worker of another user
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def create_directory(path: Path, files: Mapping[str, bytes], check: Callable[[Path], None]) -> None:
    """Write `files` into a new directory beside `path`, `check` it, and rename it into place.

    Raises `FileExistsError` when `path` exists, and whatever `check` raises; then nothing is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        for name, data in files.items():
            with (temporary / name).open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        temporary.chmod(0o755)
        _sync_directory(temporary)
        check(temporary)
        if path.exists():  # rename would take the place of an empty directory
            raise FileExistsError(f"{path} exists")
        temporary.rename(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    """Make the names in a directory durable, not only the files' contents."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
