"""Which of two progress values is further: all that `advance` reads of `features.progress` JSON."""

import msgspec


class Mark(msgspec.Struct, frozen=True):
    epoch: str
    offset: int

    def is_behind(self, other: "Mark | None") -> bool:
        """Whether writing this one over `other` would move progress backwards."""
        return other is not None and other.epoch == self.epoch and other.offset > self.offset


_decoder = msgspec.json.Decoder(Mark)


def mark_of(progress: bytes) -> Mark:
    """Raises `msgspec.DecodeError` for what is no progress."""
    return _decoder.decode(progress)


def stored_mark(progress: bytes | None) -> Mark | None:
    """The mark of what a store holds; None where that is nothing or no progress."""
    try:
        return None if progress is None else _decoder.decode(progress)
    except (ValueError, RecursionError):
        return None
