"""An environment for each framework that we are compared with: `python -m benchmarks.peers.setup [NAME ...]`.

Each is made in build/peers/<name> from benchmarks/peers/<name>/requirements.txt, with pip, and made anew when
that file changes. They are kept apart as they do not agree on the versions of what they share.
"""

import hashlib
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PEERS = ("quix", "faust", "bytewax", "aiokafka", "feast")


class NoEnvironment(RuntimeError):
    """A framework's environment has not been made; the text says how to."""


def interpreter(name: str) -> Path:
    """The Python of a peer's environment; raises NoEnvironment."""
    if _stamp(name).exists() and _stamp(name).read_text() == _wanted(name):
        return _home(name) / "bin" / "python"
    raise NoEnvironment(f"build/peers/{name} is not there or outdated; run: make peers ARGS={name}")


def program(name: str) -> Path:
    """What that Python runs."""
    return ROOT / "benchmarks" / "peers" / name / "main.py"


def make(name: str) -> None:
    """Raises CalledProcessError when pip fails."""
    home = _home(name)
    venv.create(home, clear=True, with_pip=True)
    pip: list[str | Path] = [home / "bin" / "python", "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--require-hashes", "-r", _requirements(name)], check=True)
    # The programs import what they share as `benchmarks.peers.plain`.
    packages = home / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    (packages / "riverrun-benchmarks.pth").write_text(f"{ROOT}\n")
    _stamp(name).write_text(_wanted(name))


def main(names: list[str]) -> None:
    if unknown := set(names) - set(PEERS):
        raise SystemExit(f"no such peer: {', '.join(sorted(unknown))}; there are {', '.join(PEERS)}")
    for name in names or PEERS:
        try:
            interpreter(name)
        except NoEnvironment:
            print(f"==> build/peers/{name}", flush=True)
            make(name)


def _home(name: str) -> Path:
    return ROOT / "build" / "peers" / name


def _stamp(name: str) -> Path:
    return _home(name) / ".made-of"


def _requirements(name: str) -> Path:
    return program(name).with_name("requirements.txt")


def _wanted(name: str) -> str:
    return f"python {sys.version.split()[0]} {hashlib.sha256(_requirements(name).read_bytes()).hexdigest()}\n"


if __name__ == "__main__":
    main(sys.argv[1:])
