"""One server: at an address, or whichever the sentinels call the master."""

import random
from collections.abc import Callable, Sequence
from typing import Any

from features.store import StoreRejected, StoreUnavailable
from features.stores.redis_commands import Commands, mget, pack
from features.stores.redis_options import RedisOptions
from features.stores.redis_servers import REQUEST_BYTES_MAX
from features.stores.redis_url import Address, Form
from features.stores.redis_wire import RedisWire


class SingleServer:
    """`Servers` that are one."""

    def __init__(self, options: RedisOptions, on_connect: Callable[[], None]) -> None:
        if options.parts.form is Form.SENTINEL:
            self.wire = RedisWire(options, Sentinels(options).master, on_connect, master_only=True)
        else:
            address = next(iter(options.parts.addresses), None)
            self.wire = RedisWire(options, lambda: address, on_connect)

    def open(self) -> None:
        self.wire.open()

    def send(self, commands: Commands) -> None:
        self.wire.open()
        for request, replies in commands.packed(REQUEST_BYTES_MAX):
            self.wire.send(request, replies)

    def receive(self) -> list[Any]:
        replies = self.wire.receive()
        self.wire.check(replies)
        return replies

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        (values,) = self.wire.exchange(mget(keys), 1)
        found: list[bytes | None] = values
        return found

    def masters(self) -> list[RedisWire]:
        self.wire.open_where_it_is_now()
        return [self.wire]

    def close(self) -> None:
        self.wire.close()


class Sentinels:
    """They watch a master and its replicas, and agree on a new master when it fails."""

    def __init__(self, options: RedisOptions) -> None:
        self._options = options

    def master(self) -> Address:
        """Where the master is, as the first sentinel has it that answers.

        They are asked in random order, so that one that cannot be reached does not cost every caller
        with a deadline its whole time.
        """
        parts = self._options.parts
        failure: tuple[type[StoreUnavailable], str] | None = None
        for address in random.sample(parts.addresses, len(parts.addresses)):
            wire = RedisWire(self._options, lambda address=address: address, to_sentinel=True)  # type: ignore[misc]  # mypy: "cannot infer type of lambda" with a default
            try:
                (found,) = wire.exchange(pack("SENTINEL", "GET-MASTER-ADDR-BY-NAME", parts.master), 1)
            except StoreUnavailable as error:
                failure = type(error), str(error)  # the error itself and this frame would hold each other
                continue
            finally:
                wire.close()
            if found is not None:
                host, port = found
                return Address(host.decode(), int(port))
        if failure is not None:
            kind, text = failure
            raise kind(text)
        raise StoreRejected(
            f"{self._options.address}: the sentinels know no master named {parts.master!r} "
            "(check the name in redis.url)"
        )
