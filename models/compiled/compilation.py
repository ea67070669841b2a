"""The making of compiled code, in a process of its own: its seconds and its memory are not the worker's."""

import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from signal import Signals

from models.bundle import Bundle
from models.compiled.cache import decode
from models.compiled.identity import Identity

_SAID_MAX = 2_000


@dataclass(frozen=True, slots=True)
class Failed:
    """No code came of it."""

    cause: str


class Compilation:
    """One bundle's. It ends by itself when this process does, or when it is closed."""

    def __init__(self, bundle: Bundle, identity: Identity, nice: int = 0) -> None:
        """nice: by how much it gives way to others. Raises OSError where no process can be started."""
        self.identity = identity
        command = [sys.executable, "-m", "models.compiled", str(bundle.path.absolute()), bundle.digest]
        command.append(str(nice))
        with ExitStack() as files:
            self._made = files.enter_context(tempfile.TemporaryFile())
            self._said = files.enter_context(tempfile.TemporaryFile())
            self._process = subprocess.Popen(  # noqa: S603  ourselves
                command, stdin=subprocess.PIPE, stdout=self._made, stderr=self._said
            )
            self._files = files.pop_all()

    def result(self) -> bytes | Failed | None:
        """The code, or why there is none; None while it goes on."""
        code = self._process.poll()
        if code is None:
            return None
        if code != 0:
            self._said.seek(0)
            said = self._said.read()[-_SAID_MAX:].decode("utf-8", "replace").strip()
            how = f"code {code}" if code > 0 else Signals(-code).name
            return Failed(f"{said.splitlines()[-1] if said else 'it said nothing'} (ended with {how})")
        self._made.seek(0)
        try:
            return decode(self.identity, self._made.read())
        except ValueError as error:
            return Failed(f"what was made cannot be used: {error}")

    def wait(self) -> bytes | Failed:
        """The same, once it is over."""
        self._process.wait()
        result = self.result()
        assert result is not None
        return result

    def close(self) -> None:
        """End it, if it goes on."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._files.close()
