"""Leave a group without waiting for brokers that are away for as long as librdkafka would."""

import threading
import time
from collections.abc import Callable

LEAVE_S = 3.0
LOOK_EVERY_S = 0.05


class Leaving:
    """Runs `leave` in a thread of its own, because nothing can interrupt it."""

    def __init__(self, leave: Callable[[], None], listener_is_busy: Callable[[], bool]) -> None:
        """listener_is_busy: whether `leave` is in a callback, whose time is the listener's own to bound."""
        self._leave = leave
        self._listener_is_busy = listener_is_busy
        self._raised: BaseException | None = None
        # At the end of the process it is abandoned in the midst of waiting.
        self._thread = threading.Thread(target=self._run, name="leave-group", daemon=True)
        self._thread.start()

    def done_in_time(self) -> bool:
        deadline_s = time.monotonic() + LEAVE_S
        while self._thread.is_alive() and time.monotonic() < deadline_s:
            self._thread.join(LOOK_EVERY_S)
            if self._listener_is_busy():
                deadline_s = time.monotonic() + LEAVE_S
        return not self._thread.is_alive()

    def raise_what_was_raised(self) -> None:
        if self._raised is not None:
            raise self._raised

    def _run(self) -> None:
        try:
            self._leave()
        except BaseException as raised:  # noqa: BLE001  # whoever closes hears it, whatever it is
            self._raised = raised
