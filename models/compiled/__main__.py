"""``python -m models.compiled BUNDLE DIGEST NICE``: compiled code on stdout, as the cache keeps it.

Code that does not say what LightGBM says is refused here, in a process that may crash over it.
"""

import os
import sys
import threading
from contextlib import suppress
from pathlib import Path

from models.bundle import BundleRefused, load_bundle
from models.compiled.cache import encode
from models.compiled.identity import NotInstalled, identity_of


def main(path: str, digest: str, nice: str) -> None:
    with os.fdopen(os.dup(1), "wb") as made:
        os.dup2(2, 1)  # a library that prints must not print into the code
        threading.Thread(target=_end_with_parent, daemon=True).start()
        _give_way(int(nice))
        made.write(_compiled(Path(path), digest))


def _compiled(path: Path, digest: str) -> bytes:
    try:
        bundle = load_bundle(path)
        identity = identity_of(digest)
    except (BundleRefused, NotInstalled) as error:
        sys.exit(str(error))
    if bundle.digest != digest:
        sys.exit(f"{path} holds another model by now")
    from models.compiled.activate import CompiledRefused, NotSupported, activate, forest_of  # noqa: PLC0415  extra
    from models.compiled.code import machine_code  # noqa: PLC0415
    from models.compiled.text import NotKnown  # noqa: PLC0415

    try:
        code = machine_code(forest_of(bundle))
        activate(bundle, code)
    except (NotSupported, NotKnown) as error:
        sys.exit(str(error))
    except CompiledRefused as error:
        sys.exit(f"refused: {error}")
    return encode(identity, code)


def _end_with_parent() -> None:
    """Nobody writes to stdin; it ends when the process that began this one does, however that ends."""
    while os.read(0, 1):
        pass
    os._exit(1)


def _give_way(nice: int) -> None:
    """To the worker, where processors are scarce; and where memory is, end before it does."""
    os.nice(nice)
    with suppress(OSError):  # only Linux has it
        Path("/proc/self/oom_score_adj").write_text("1000", "ascii")


if __name__ == "__main__":
    main(*sys.argv[1:])
