"""One connection to Redis: bytes out, replies in, and never a reply for the wrong request.

redis-py opens the connection and logs in; afterwards we write packed RESP to its socket and read the
replies with hiredis. redis-py's own pipeline costs several microseconds a command, which is most of
what an appended entry costs altogether.
"""

import select
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import hiredis
import redis.exceptions

from features.store import StoreRejected, StoreTimeout, StoreUnavailable
from features.stores.redis_commands import pack
from features.stores.redis_errors import connect_failure, refusal
from features.stores.redis_options import Connection, RedisOptions
from features.stores.redis_url import Address, Form

UNREAD_BYTES_MAX = 1_000_000
"""Of requests whose replies were not read. A reply is a tenth of its request at most, so what waits to be
read fits into the sockets' buffers, and neither side can block the other."""

_Error = TypeVar("_Error", bound=Exception)
_NOT_YET = object()
_RECEIVE_BYTES = 1 << 18


class RedisWire:
    """Opens itself when needed. Any error closes it, so that a late reply has nobody to mislead.

    Not for threads to share.
    """

    def __init__(
        self,
        options: RedisOptions,
        locate: Callable[[], Address | None],
        on_connect: Callable[[], None] = lambda: None,
        *,
        to_sentinel: bool = False,
        master_only: bool = False,
    ) -> None:
        """locate: asked for the address at each connect; None is the Unix socket.

        master_only: whether a server that is none is as good as away.
        """
        self._options = options
        self._locate = locate
        self._on_connect = on_connect
        self._to_sentinel = to_sentinel
        self._master_only = master_only
        self._address: Address | None = None
        self._connection: Connection | None = None
        self._socket: socket.socket | None = None
        self._buffer = bytearray(_RECEIVE_BYTES)
        self._forget()

    @property
    def name(self) -> str:
        """The server's, for messages: what the settings say, and where that led."""
        parts = self._options.parts
        if self._address is None or (parts.form is Form.SERVER and not self._to_sentinel):
            return self._options.address
        return f"{self._options.address}: {'sentinel ' if self._to_sentinel else ''}{self._address}"

    @property
    def is_open(self) -> bool:
        """Whether it was connected and not closed since; the other end may have closed it."""
        return self._socket is not None

    def open(self) -> None:
        """Connect and log in unless that is done.

        Raises `StoreUnavailable` for a connection that closed since its last use, unless it may be
        replaced silently.
        """
        if self._socket is not None:
            if self._expected or _is_quiet(self._socket):
                return
            self._leave("the connection closed while it was idle, and the server may have lost writes")
        self.close()
        if unreadable := self._options.unreadable_files():
            raise StoreRejected(f"{self._options.address}: cannot read {', '.join(map(str, unreadable))}")
        self._address = self._locate()
        self._connection = self._options.connection(self._address, self._to_sentinel)
        try:
            self._connection.connect()
        except (redis.exceptions.RedisError, UnicodeError) as error:  # the latter: no name a host can have
            raise self._named(connect_failure(error, self._to_sentinel)) from None
        self._socket = self._connection._sock
        if self._master_only:
            ((role, *_),) = self.exchange(pack("ROLE"), 1)
            if role != b"master":
                self.close()
                raise self._named(StoreUnavailable(f"this is no master but a {role.decode()} now"))
        self._on_connect()

    def open_where_it_is_now(self) -> None:
        """`open`, but not to go on with a server that `locate` no longer names."""
        if self._socket is not None and self._locate() != self._address:
            self._leave("another server has taken its place, and may lack its latest writes")
        self.open()

    def close(self) -> None:
        self._socket = None
        self._forget()
        if self._connection is not None:
            self._connection.disconnect()

    def send(self, request: bytes, replies: int) -> None:
        """Send to an open connection what Redis answers with so many replies, which `receive` returns.

        When too much was sent that was not answered, the oldest replies are awaited first.
        """
        with self._guarded():
            assert self._socket is not None, "open it first"
            deadline = self._deadline()
            while self._unread and self._unread_bytes + len(request) > UNREAD_BYTES_MAX:
                self._gather(self._unread[0][1], deadline)
            self._socket.settimeout(self._options.read_timeout_ms / 1_000)
            self._socket.sendall(request)
            self._expected += replies
            self._unread.append((len(request), self._expected))
            self._unread_bytes += len(request)

    def receive(self) -> list[Any]:
        """The replies to all that was sent, in order, with refusals (`hiredis.ReplyError`) among them."""
        with self._guarded():
            self._gather(self._expected, self._deadline())
            if len(self._answer) > self._expected or self._reader.has_data():
                raise ConnectionError("Redis sent more replies than it was asked for")
            answer = self._answer
            self._forget_replies()
        return answer

    def exchange(self, request: bytes, replies: int) -> list[Any]:
        """`open`, `send`, `receive` and `check`."""
        self.open()
        self.send(request, replies)
        answer = self.receive()
        with self._guarded():
            self.check(answer)
        return answer

    def check(self, replies: list[Any], code_passed: str = "NOSCRIPT") -> None:
        """Raise the first refusal among the replies, as `refusal` has it, but for those with this code."""
        if hiredis.ReplyError not in map(type, replies):
            return
        for reply in replies:
            if isinstance(reply, hiredis.ReplyError) and not str(reply).startswith(code_passed):
                raise self._named(refusal(str(reply), self._to_sentinel))

    def _leave(self, why: str) -> None:
        self.close()
        if not self._options.reconnect_silently:
            raise self._named(StoreUnavailable(why))

    def _gather(self, count: int, deadline: float) -> None:
        """Read until there are so many replies."""
        assert self._socket is not None, "closed"
        gets = self._reader.gets
        while len(self._answer) < count:
            self._receive_some(self._socket, deadline)
            came: list[Any] = []
            while (reply := gets()) is not _NOT_YET:
                came.append(reply)
            if hiredis.PushNotification in map(type, came):
                came = [reply for reply in came if not isinstance(reply, hiredis.PushNotification)]
            self._answer += came
        while self._unread and self._unread[0][1] <= len(self._answer):
            self._unread_bytes -= self._unread.popleft()[0]

    def _receive_some(self, connection: socket.socket, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        connection.settimeout(left)
        received = connection.recv_into(self._buffer)
        if received == 0:
            raise ConnectionError("Redis closed it")
        self._reader.feed(self._buffer, 0, received)  # type: ignore[arg-type]  # any buffer will do

    def _deadline(self) -> float:
        return time.monotonic() + self._options.read_timeout_ms / 1_000

    def _forget(self) -> None:
        self._reader = hiredis.Reader(notEnoughData=_NOT_YET)
        self._forget_replies()

    def _forget_replies(self) -> None:
        self._answer: list[Any] = []
        self._expected = 0
        self._unread: deque[tuple[int, int]] = deque()
        """Of each request sent: its bytes, and how many replies there are when it is answered."""
        self._unread_bytes = 0

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Close the connection on any error, and name what the system calls it."""
        try:
            yield
        except TimeoutError:
            self.close()
            raise StoreTimeout(f"{self.name}: no answer within {self._options.read_timeout_ms} ms") from None
        except (OSError, hiredis.HiredisError) as error:
            self.close()
            raise self._named(StoreUnavailable(f"the connection broke: {error}")) from None
        except BaseException:
            self.close()
            raise

    def _named(self, error: _Error) -> _Error:
        return type(error)(f"{self.name}: {self._options.masked(str(error))}")


def _is_quiet(connection: socket.socket) -> bool:
    """Nothing to read. What comes before we ask is either the end of the connection or not meant for us."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return not poll.poll(0)
