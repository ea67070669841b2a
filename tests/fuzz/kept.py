"""Inputs that showed a mistake once, as text files: ``TARGET-DIGEST.txt``, bytes written as in Python."""

import hashlib
from pathlib import Path

FOLDER = Path(__file__).parent / "regressions"


def keep(target: str, data: bytes) -> str:
    """Write an input down; the name of its file."""
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{target}-{hashlib.sha256(data).hexdigest()[:10]}.txt"
    path.write_text(data.decode("latin-1").encode("unicode_escape").decode("ascii") + "\n")
    return path.name


def kept() -> dict[str, tuple[str, bytes]]:
    """Target and input by file name."""
    found = {}
    for path in sorted(FOLDER.glob("*.txt")):
        text = path.read_text("ascii").removesuffix("\n")
        data = text.encode("ascii").decode("unicode_escape").encode("latin-1")
        found[path.name] = path.name.rpartition("-")[0], data
    return found
