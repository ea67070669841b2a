"""A small disk of a server's own, in memory, that can be full from one moment to the next."""

import os
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path

from tools.reaper import unmount_with_us

_TRIES = 50


class NoMount(RuntimeError):
    """File systems cannot be mounted here; the message says why."""


@cache
def why_no_mount() -> str | None:
    """Why a tmpfs cannot be mounted here; None where it can."""
    with tempfile.TemporaryDirectory() as place:
        disk = SmallDisk(Path(place), 1)
        try:
            disk.mount()
        except NoMount as error:
            return str(error)
        disk.unmount()
    return None


class SmallDisk:
    """A tmpfs at `place`: what is in it survives the death of processes, not `unmount`."""

    def __init__(self, place: Path, mb: int) -> None:
        self.place, self.mb = place, mb

    def mount(self) -> None:
        """Raises NoMount."""
        self.place.mkdir(parents=True, exist_ok=True)
        _mount("-t", "tmpfs", "-o", f"size={self.mb}m,mode=0755", "riverrun-chaos", str(self.place))
        unmount_with_us(self.place)

    def fill(self) -> None:
        """From now on writing fails with ENOSPC: the disk is no larger than what is in it."""
        for _ in range(_TRIES):
            now = os.statvfs(self.place)
            used = (now.f_blocks - now.f_bfree) * now.f_frsize
            try:
                self._resize(f"{used}")
            except NoMount:  # it grew in between
                time.sleep(0.01)
            else:
                return
        raise NoMount(f"{self.place} grows faster than it can be filled")

    def free(self) -> None:
        """As large as it was."""
        self._resize(f"{self.mb}m")

    def unmount(self) -> None:
        """Also while a dying process still holds files there."""
        if self.place.is_mount():
            subprocess.run(["umount", "--lazy", self.place], check=True)

    def _resize(self, size: str) -> None:
        _mount("-o", f"remount,size={size}", str(self.place))


def _mount(*arguments: str) -> None:
    try:
        done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise NoMount("there is no `mount` on PATH") from None
    if done.returncode != 0:
        raise NoMount(f"mount {' '.join(arguments)}: {done.stderr.strip()} (mounting needs root)")
