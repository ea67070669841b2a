"""The names of everything in the online store, one namespace per use case and state fingerprint."""

from binascii import crc_hqx
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

from features.definition.fingerprint import fingerprints
from features.definition.model import Definition, RowKind

LAYOUT = 2
"""The version of `features.codec`'s layout; rows of another layout have other keys."""

WITNESSES = 64
_SLOTS = 16_384
"""Of a Redis Cluster; a key's is the CRC16 of what its first braces hold."""


@dataclass(frozen=True, slots=True)
class Namespace:
    """``rr:<use case>:<state, 12 hex>:<layout>:…``"""

    prefix: bytes
    _definition: Definition = field(compare=False, repr=False)

    @classmethod
    def of(cls, definition: Definition) -> "Namespace":
        return cls(_prefix(definition, definition.fingerprints.state, LAYOUT), definition)

    def previous(self) -> "Namespace":
        """Where the same rows are in the layout before this one, under the fingerprint of its time."""
        state = fingerprints(self._definition, form=1).state
        return Namespace(_prefix(self._definition, state, 1), self._definition)

    def row_prefix(self, entity: str, kind: RowKind) -> bytes:
        """What precedes the entity key (UTF-8) in a row's key."""
        return b"%b%b:%b:" % (self.prefix, kind.value.encode(), entity.encode())

    def row(self, entity: str, kind: RowKind, key: str) -> bytes:
        return self.row_prefix(entity, kind) + key.encode()

    def epoch(self) -> bytes:
        return self.prefix + b"epoch"

    def progress(self, topic: str, partition: int) -> bytes:
        return b"%bprogress:%b:%d" % (self.prefix, topic.encode(), partition)

    def predecessor(self) -> bytes:
        """There while rows of `previous` hold entries that are not in the rows of this namespace.

        Set, with the lifetime of rows, when progress is taken over from there.
        """
        return self.prefix + b"predecessor"

    def history(self) -> bytes:
        """What was loaded from files: a `features.progress.HistoryClaim`."""
        return self.prefix + b"history"

    def loading(self) -> bytes:
        """Who is loading history, and until when that holds."""
        return self.prefix + b"loading"

    def witnesses(self) -> list[bytes]:
        """Keys whose absence says that a server lost its state; on a cluster every node holds some."""
        return [b"%bwitness:{%d}" % (self.prefix, tag) for tag in _WITNESS_TAGS]


def _prefix(definition: Definition, state: str, layout: int) -> bytes:
    return f"rr:{definition.name}:{state[:12]}:{layout}:".encode()


def _spread_tags() -> Iterator[int]:
    """For each equal share of a cluster's slots, the first number that Redis hashes into it."""
    for share in range(WITNESSES):
        yield next(n for n in count() if crc_hqx(b"%d" % n, 0) % _SLOTS * WITNESSES // _SLOTS == share)


_WITNESS_TAGS = tuple(_spread_tags())
