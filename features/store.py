"""What an online store must do; the drivers stand in `features.stores`."""

from collections.abc import Sequence
from typing import Protocol


class StoreUnavailable(Exception):
    """The store did not answer, or answered that it cannot serve now. Trying again may help."""


class StoreTimeout(StoreUnavailable):
    """The store did not answer in time; it may still do what it was asked."""


class StoreRejected(Exception):
    """The store refuses what we ask for good (wrong password, no right, wrong type). Retrying cannot help."""


class OnlineStore(Protocol):
    """Keys and bytes; all meaning of either stands in `features.keys` and `features.codec`.

    Every method raises `StoreUnavailable` or `StoreRejected`, and nothing of a client library.
    """

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of `keys` in one round trip; None for a key that is not there."""
        ...

    def append(self, chunks: Sequence[tuple[bytes, bytes]], ttl_ms: int | None) -> None:
        """Append each chunk to its key's value, in order, and renew the key's time to live.

        A key may occur more than once. When this returns, every chunk was appended; when it raises,
        any of them may have been, so callers repeat the whole call (rows are sets: a repeated entry
        counts once).
        """
        ...

    def put_if_absent(self, key: bytes, value: bytes) -> bytes:
        """Set `key` unless it is there, without expiry; returns the value in force."""
        ...

    def advance(self, key: bytes, progress: bytes) -> bool:
        """Replace the progress at `key` unless that would move it backwards.

        Both values are `features.progress` JSON. It is written when there is none, when the one
        there has another `epoch`, or when its `offset` is not larger. Atomic. Returns whether it was
        written.
        """
        ...

    def close(self) -> None: ...
