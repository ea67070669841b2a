"""What an online store must do; the drivers stand in `features.stores`."""

from collections.abc import Sequence
from typing import Protocol


class StoreUnavailable(Exception):
    """The store did not answer, or answered that it cannot serve now. Trying again may help."""


class StoreTimeout(StoreUnavailable):
    """The store did not answer in time; it may still do what it was asked."""


class StoreRejected(Exception):
    """The store refuses what we ask for good (wrong password, no right, wrong type). Retrying cannot help."""


HEAD_BYTES = 64
"""How much of a value `OnlineStore.replace` compares."""


class Appending(Protocol):
    """Chunks on their way into the store."""

    def lengths(self) -> dict[bytes, int]:
        """Wait until they are appended; the length of each key's value after that, in bytes.

        Raises what `append` raises.
        """
        ...


class OnlineStore(Protocol):
    """Keys and bytes; all meaning of either stands in `features.keys` and `features.codec`.

    Every method raises `StoreUnavailable` or `StoreRejected`, and nothing of a client library.
    """

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of `keys` in one round trip; None for a key that is not there."""
        ...

    def append(self, chunks: Sequence[tuple[bytes, bytes]], ttl_ms: int | None) -> None:
        """`begin_append`, and wait until it is done."""
        ...

    def begin_append(self, chunks: Sequence[tuple[bytes, bytes]], ttl_ms: int | None) -> "Appending":
        """Begin to append each chunk to its key's value, in order, and to renew the key's time to live.

        The key then lives for `ttl_ms` at least, and a sixteenth more at most; None leaves what there is.
        All who write a key must agree on `ttl_ms`.

        A key may occur more than once. Nothing is appended for sure before `Appending.lengths` returned;
        until then no other method of this store may be called, so that replies come in order. When either
        call raises, any of the chunks may have been appended: callers repeat the whole call (rows are
        sets: a repeated entry counts once).
        """
        ...

    def replace(self, key: bytes, seen: bytes, value: bytes, ttl_ms: int | None) -> bool:
        """Replace the value of `key` if it still is `seen`; returns whether it was. Atomic.

        It is judged by its length and its first `HEAD_BYTES`, so a value must either only be appended to,
        or be replaced by one with another head. A key that is not there counts as empty. `ttl_ms` means
        what it means to `begin_append`.
        """
        ...

    def replace_all(self, changes: Sequence[tuple[bytes, bytes, bytes]], ttl_ms: int | None) -> list[bool]:
        """`replace` for each (key, seen, value), without waiting for one before the next."""
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

    def life(self) -> str:
        """Which servers answer, since their last start: another text means that one was started anew or
        replaced, and may have lost its latest writes. It may also mean less: that a replica came or went.
        """
        ...

    def close(self) -> None: ...
