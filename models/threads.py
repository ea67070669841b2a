"""What must hold before LightGBM is imported: its system library is there, it will use one thread, and it
takes no other library along that nobody asked for.

A worker scores on one thread. OpenMP reads its limit once, when its library is loaded; without it a
single row cost 4 ms instead of 0.05 ms on a busy machine, because every call woke a team of threads.
"""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_OPENMP = "libgomp.so.1"
_TAKEN_ALONG = ("dask", "graphviz", "matplotlib", "pandas", "sklearn")


class SystemLibraryMissing(Exception):
    """A shared library that LightGBM links against cannot be loaded; the text names its package."""


def check_system_libraries(library: str = _OPENMP) -> None:
    """Load the OpenMP library that LightGBM's wheel links but does not carry.

    Raises `SystemLibraryMissing`. Other systems than Linux bring theirs with the wheel.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        ctypes.CDLL(library)
    except OSError as error:
        raise SystemLibraryMissing(
            f"{library}: {error}. LightGBM needs the OpenMP run-time library. "
            "Install it: `apt-get install libgomp1` on Debian and Ubuntu, `dnf install libgomp` on Fedora."
        ) from error


def use_one_thread() -> bool:
    """Limit OpenMP to one thread; returns False when LightGBM was imported before, too late to matter.

    A limit that is set already stays. Training asks for its threads call by call and is not held back.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    return "lightgbm" not in sys.modules


def prepare_lightgbm() -> None:
    """Call it right before `import lightgbm`. Raises `SystemLibraryMissing`."""
    if use_one_thread():
        check_system_libraries()


@contextmanager
def taking_nothing_along() -> Iterator[None]:
    """Within it `import lightgbm` passes over the libraries that it serves but does not need.

    It imports each that is installed, which made a worker start in 1.3 s and 204 MB instead of 0.4 s and
    74 MB. They can be imported afterwards as ever; only LightGBM's own wrappers for them are missing.
    """
    hidden = [name for name in _TAKEN_ALONG if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None is how Python hides a module
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
