"""How busy the machine is: latency on a machine that others use measures them."""

import time
from pathlib import Path

LOOK_S = 2.0


class Idleness:
    """Since it was made, or asked last."""

    def __init__(self) -> None:
        self._idle, self._all = _ticks()

    def share(self) -> float:
        """Of all cores' time, what nobody used."""
        idle, everything = _ticks()
        used = (idle - self._idle) / max(everything - self._all, 1)
        self._idle, self._all = idle, everything
        return used


def await_quiet(share: float, patience_s: float) -> bool:
    """Wait until the machine was idle for such a share of some seconds; whether it was, in time."""
    deadline_s = time.monotonic() + patience_s
    idleness = Idleness()
    while share > 0:
        time.sleep(LOOK_S)
        if idleness.share() >= share:
            return True
        if time.monotonic() > deadline_s:
            return False
    return True


def _ticks() -> tuple[int, int]:
    """Idle, and all, of the cores that this machine has."""
    fields = [int(text) for text in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return fields[3] + fields[4], sum(fields)
