"""Redis Cluster: each key at the node that owns its slot, all nodes asked at once, moves followed."""

import random
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import hiredis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from features.store import StoreUnavailable
from features.stores.redis_commands import Commands, gets, pack
from features.stores.redis_options import RedisOptions
from features.stores.redis_servers import REQUEST_BYTES_MAX
from features.stores.redis_url import Address
from features.stores.redis_wire import RedisWire

SENT_ON_MAX = 5
"""How often a command may be sent on before we believe that the cluster cannot make up its mind."""
_ASKING = pack("ASKING")
_REDIRECT = re.compile(r"(MOVED|ASK) \d+ (\S*):(\d+)$")

Owners = list[Address | None]
"""By slot, the node that serves it."""


@dataclass(frozen=True, slots=True)
class _Sent:
    """Commands on their way to one node."""

    address: Address
    wire: RedisWire
    index: Sequence[int]
    """Which of the commands."""
    asking: bool
    """Whether each follows an ASKING, which has a reply of its own."""


class Cluster:
    """`Servers` that are many. Whoever raises is closed, and asks for the nodes anew."""

    def __init__(self, options: RedisOptions, on_connect: Callable[[], None]) -> None:
        self._options = options
        self._on_connect = on_connect
        self._owners: Owners = []
        """Empty before they are known."""
        self._nodes: tuple[Address, ...] = ()
        """All that were known last, replicas too."""
        self._wires: dict[Address, RedisWire] = {}
        self._commands = Commands([], [])
        self._answers: list[Any] = []
        self._sent: list[_Sent] = []

    def open(self) -> None:
        if not self._owners:
            self._learn()

    def send(self, commands: Commands) -> None:
        self.open()
        self._commands, self._answers = commands, [None] * len(commands)
        self._send_to_owners(range(len(commands)))

    def receive(self) -> list[Any]:
        return self._receive("NOSCRIPT")

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        self.send(gets(keys))
        values = self._receive("WRONGTYPE")  # MGET calls that no string, too
        return [None if isinstance(value, hiredis.ReplyError) else value for value in values]

    def masters(self) -> list[RedisWire]:
        self._learn()
        wires = [self._wire(address) for address in dict.fromkeys(self._owners) if address is not None]
        _open_at_once(wires)
        return wires

    def close(self) -> None:
        for wire in self._wires.values():
            wire.close()
        self._wires, self._owners, self._sent = {}, [], []

    def _receive(self, code_passed: str) -> list[Any]:
        for sent_on in range(SENT_ON_MAX + 1):
            moved, asked = self._collect(code_passed)
            if not moved and not asked:
                return self._answers
            if sent_on == SENT_ON_MAX:
                break
            if moved:
                self._learn(first=next(iter(moved.values())))
                self._send_to_owners(list(moved))
            for address, index in asked.items():
                self._send(address, index, asking=True)
        raise StoreUnavailable(f"{self._options.address}: keys were sent on {SENT_ON_MAX} times")

    def _collect(self, code_passed: str) -> tuple[dict[int, Address], dict[Address, list[int]]]:
        """Take in the replies; which commands belong to other nodes for good, and which for now."""
        moved: dict[int, Address] = {}
        asked: dict[Address, list[int]] = {}
        sent, self._sent = self._sent, []
        replies = {wire: iter(wire.receive()) for wire in dict.fromkeys(one.wire for one in sent)}
        for one in sent:
            step = 2 if one.asking else 1
            answers = list(islice(replies[one.wire], step * len(one.index)))[step - 1 :: step]
            for at, answer in zip(one.index, answers, strict=True):
                self._answers[at] = answer
            if hiredis.ReplyError not in map(type, answers):
                continue
            for at, answer in zip(one.index, answers, strict=True):
                redirect = _REDIRECT.match(str(answer)) if isinstance(answer, hiredis.ReplyError) else None
                if redirect is None:
                    one.wire.check([answer], code_passed)
                    continue
                address = _address(redirect[2], int(redirect[3]), one.address)
                if redirect[1] == "MOVED":
                    moved[at] = address
                else:
                    asked.setdefault(address, []).append(at)
        return moved, asked

    def _send_to_owners(self, index: Iterable[int]) -> None:
        by_owner: dict[Address | None, list[int]] = {}
        keys, owners = self._commands.keys, self._owners
        for at in index:
            by_owner.setdefault(owners[key_slot(keys[at])], []).append(at)
        parts = [(address, of_owner) for address, of_owner in by_owner.items() if address is not None]
        if len(parts) < len(by_owner):
            raise StoreUnavailable(f"{self._options.address}: no node serves some of the keys' slots")
        _open_at_once([self._wire(address) for address, _ in parts])
        for address, of_owner in parts:
            self._send(address, of_owner, asking=False)

    def _send(self, address: Address, index: Sequence[int], *, asking: bool) -> None:
        wire, commands = self._wire(address), self._commands.take(index)
        wire.open()
        if asking:
            commands = commands.each_after(_ASKING)
        for request, count in commands.packed(REQUEST_BYTES_MAX):
            wire.send(request, 2 * count if asking else count)
        self._sent.append(_Sent(address, wire, index, asking))

    def _wire(self, address: Address) -> RedisWire:
        wire = self._wires.get(address)
        if wire is None:
            wire = self._wires[address] = RedisWire(self._options, lambda: address, self._on_connect)
        return wire

    def _learn(self, first: Address | None = None) -> None:
        """Ask for the owners of all slots: `first`, then nodes in random order, so that one that cannot be
        reached does not cost every caller with a deadline its whole time.

        On a connection of its own: what is found out about others is for whoever uses them.
        """
        known = list(dict.fromkeys([*self._options.parts.addresses, *self._nodes]))
        failure: tuple[type[StoreUnavailable], str] | None = None
        for address in dict.fromkeys([*([first] if first else []), *random.sample(known, len(known))]):
            wire = RedisWire(self._options, lambda address=address: address)  # type: ignore[misc]  # mypy: "cannot infer type of lambda" with a default
            try:
                (table,) = wire.exchange(pack("CLUSTER", "SLOTS"), 1)
            except StoreUnavailable as error:
                failure = type(error), str(error)  # the error itself and this frame would hold each other
                continue
            finally:
                wire.close()
            self._take(table, address)
            return
        assert failure is not None
        kind, text = failure
        raise kind(text)

    def _take(self, table: Sequence[Any], told_by: Address) -> None:
        """Take over what CLUSTER SLOTS says: ``[first slot, last slot, [host, port, …] of each node]``."""
        owners: Owners = [None] * REDIS_CLUSTER_HASH_SLOTS
        nodes: list[Address] = []
        for first, last, *serving in table:
            found = [_address((host or b"").decode(), port, told_by) for host, port, *_ in serving]
            owners[first : last + 1] = [found[0]] * (last + 1 - first)
            nodes += found
        self._owners, self._nodes = owners, tuple(dict.fromkeys(nodes))
        for address in self._wires.keys() - self._nodes:
            self._wires.pop(address).close()


def _open_at_once(wires: Sequence[RedisWire]) -> None:
    """One after the other, connections to many nodes may take longer than a reader's whole deadline."""
    failures: list[BaseException] = []

    def connect(wire: RedisWire) -> None:
        try:
            wire.open()
        except BaseException as failure:  # noqa: BLE001  # whatever it is, it is raised below
            failures.append(failure)

    # Daemons, as a name look-up may hang on when the process ends.
    threads = [
        threading.Thread(target=connect, args=(wire,), daemon=True) for wire in wires if not wire.is_open
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        if failures:
            raise failures[0]
    finally:
        failures.clear()  # else they and their frames hold each other, and connections with them
    for wire in wires:
        wire.open()


def _address(host: str, port: int, told_by: Address) -> Address:
    """A node that does not know by what name it is reached says nothing, and means whom we asked."""
    return Address(told_by.host if host in ("", "?") else host, int(port))
