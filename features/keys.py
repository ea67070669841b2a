"""The names of everything in the online store, one namespace per use case and state fingerprint."""

from dataclasses import dataclass

from features.definition.model import Definition, RowKind

LAYOUT = 1
"""The version of `features.codec`'s entry layout; rows of another layout have other keys."""


@dataclass(frozen=True, slots=True)
class Namespace:
    """``rr:<use case>:<state, 12 hex>:<layout>:…``"""

    prefix: bytes

    @classmethod
    def of(cls, definition: Definition) -> "Namespace":
        return cls(f"rr:{definition.name}:{definition.fingerprints.state[:12]}:{LAYOUT}:".encode())

    def row_prefix(self, entity: str, kind: RowKind) -> bytes:
        """What precedes the entity key (UTF-8) in a row's key."""
        return b"%b%b:%b:" % (self.prefix, kind.value.encode(), entity.encode())

    def row(self, entity: str, kind: RowKind, key: str) -> bytes:
        return self.row_prefix(entity, kind) + key.encode()

    def epoch(self) -> bytes:
        return self.prefix + b"epoch"

    def progress(self, topic: str, partition: int) -> bytes:
        return b"%bprogress:%b:%d" % (self.prefix, topic.encode(), partition)
