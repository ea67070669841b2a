"""A Redis Cluster of one's own on loopback, for tests that move its slots and kill its nodes."""

import socket
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from redis import Redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from tools.processes import ServerDidNotStart, free_port
from tools.redis_server import RedisServer

_BUS_OFFSET = 10_000
_PATIENCE_S = 30.0
_SETTINGS = {
    "cluster-enabled": "yes",
    "cluster-node-timeout": "2000",
    "repl-diskless-sync": "yes",
    "repl-diskless-sync-delay": "0",
}


def ask(node: RedisServer, *command: str | bytes | int) -> Any:
    """One command on a connection of its own."""
    with Redis.from_url(node.url) as client:
        return client.execute_command(*command)


class RedisCluster:
    """So many masters, each with an equal share of the slots; replicas by `add_replica`.

    options: further settings of every node by their names in redis.conf.
    """

    def __init__(self, directory: Path, masters: int = 3, options: Mapping[str, str] | None = None) -> None:
        self.nodes = [
            RedisServer(directory / str(number), _SETTINGS | dict(options or {}), _free_ports())
            for number in range(masters)
        ]

    @property
    def url(self) -> str:
        """Names every node."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def start(self) -> None:
        """Return when every node serves, which takes some seconds; raises ServerDidNotStart."""
        share = -(-REDIS_CLUSTER_HASH_SLOTS // len(self.nodes))
        try:
            with ThreadPoolExecutor(len(self.nodes)) as pool:
                list(pool.map(RedisServer.start, self.nodes))
            for number, node in enumerate(self.nodes):
                ask(node, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
                # That a range may be given by its ends is new in Redis 7.
                slots = range(number * share, min((number + 1) * share, REDIS_CLUSTER_HASH_SLOTS))
                ask(node, "CLUSTER", "ADDSLOTS", *slots)
                ask(node, "CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port)
            self._await_all_serve()
        except BaseException:
            self.stop()
            raise

    def add_replica(self, of: RedisServer) -> RedisServer:
        """Start a further node, and return when it has the data of that master."""
        replica = RedisServer(of.directory.parent / str(len(self.nodes)), of.options, _free_ports())
        replica.start()
        self.nodes.append(replica)
        ask(replica, "CLUSTER", "MEET", "127.0.0.1", of.port)
        _await("it knows its master", lambda: _id(of) in ask(replica, "CLUSTER", "NODES"))
        ask(replica, "CLUSTER", "REPLICATE", _id(of))
        _await("it has the data", lambda: ask(replica, "INFO", "replication")["master_link_status"] == "up")
        # CLUSTER SLOTS would do once something was written.
        line = b"slave " + _id(of)
        _await("every node knows", lambda: all(line in ask(node, "CLUSTER", "NODES") for node in self.nodes))
        return replica

    def await_replicated(self, master: RedisServer, replica: RedisServer) -> None:
        """Return when the replica has everything that was written to its master until now."""
        written = ask(master, "INFO", "replication")["master_repl_offset"]

        def reached() -> bool:
            return bool(ask(replica, "INFO", "replication")["slave_repl_offset"] >= written)

        _await("the replica has all that was written", reached)

    def give_way(self, master: RedisServer, replica: RedisServer) -> None:
        """Have both change places, with nothing lost; returns when every node knows it."""
        ask(replica, "CLUSTER", "FAILOVER")
        self._await_master(replica)
        _await("it follows", lambda: ask(master, "INFO", "replication").get("master_link_status") == "up")

    def take_over(self, replica: RedisServer, dead: RedisServer) -> None:
        """Make a replica the master in a dead node's place; returns when every other node knows it."""
        self.nodes.remove(dead)
        ask(replica, "CLUSTER", "FAILOVER", "TAKEOVER")
        self._await_master(replica)

    def owner(self, slot: int) -> RedisServer:
        """The node that serves a slot."""
        for first, last, (_, port, *_), *_ in ask(self.nodes[0], "CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(node for node in self.nodes if node.port == port)
        raise LookupError(f"nobody serves slot {slot}")

    def ask_owner(self, command: str, key: bytes) -> Any:
        """A command on one key, where that is."""
        return ask(self.owner(key_slot(key)), command, key)

    def begin_move(self, slot: int, to: RedisServer) -> None:
        """From now on the slot's owner sends those who ask for keys that it lacks to the new one."""
        source = self.owner(slot)
        ask(to, "CLUSTER", "SETSLOT", slot, "IMPORTING", _id(source))
        ask(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", _id(to))

    def move_keys(self, slot: int, to: RedisServer, keys_max: int = 1_000_000) -> int:
        """Of a move that was begun; returns how many keys were moved."""
        source = self.owner(slot)
        keys = ask(source, "CLUSTER", "GETKEYSINSLOT", slot, keys_max)
        if keys:
            ask(source, "MIGRATE", "127.0.0.1", to.port, "", 0, 10_000, "KEYS", *keys)
        return len(keys)

    def end_move(self, slot: int, to: RedisServer) -> None:
        """Every node hears of the slot's new owner."""
        for node in (to, *(node for node in self.nodes if node is not to)):
            ask(node, "CLUSTER", "SETSLOT", slot, "NODE", _id(to))

    def stop(self) -> None:
        """End every node."""
        for node in self.nodes:
            node.kill()  # nothing to save, and a node that is told to end waits for its replica

    def _await_master(self, node: RedisServer) -> None:
        def known() -> bool:
            tables = [ask(one, "CLUSTER", "SLOTS") for one in self.nodes]
            return all(node.port in {master[1] for _, _, master, *_ in table} for table in tables)

        _await("every node knows the new master", known)
        # A node that joined a moment ago refuses everything for two seconds, whatever the others know.
        _await("every node serves", lambda: self._all_say(b"cluster_state:ok"))

    def _await_all_serve(self) -> None:
        known = b"cluster_known_nodes:%d\r" % len(self.nodes)
        _await("every node serves", lambda: self._all_say(b"cluster_state:ok", known))

    def _all_say(self, *words: bytes) -> bool:
        told = [ask(node, "CLUSTER", "INFO") for node in self.nodes]
        return all(word in info for info in told for word in words)


def _await(what: str, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not holds():
        if time.monotonic() > deadline:
            raise ServerDidNotStart(f"not yet after {_PATIENCE_S:.0f} s that {what}")
        time.sleep(0.02)


def _id(node: RedisServer) -> bytes:
    found: bytes = ask(node, "CLUSTER", "MYID")
    return found


def _free_ports() -> int:
    """A port that is free along with the one of the cluster's bus."""
    while True:
        port = free_port()
        if port + _BUS_OFFSET > 65_535:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port + _BUS_OFFSET))
            except OSError:
                continue
        return port
