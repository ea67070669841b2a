"""One connection to Redis: bytes out, replies in, and never a reply for the wrong request.

redis-py opens the connection and logs in; afterwards we write packed RESP to its socket and read the
replies with hiredis. redis-py's own pipeline costs several microseconds a command, which is most of
what an appended entry costs altogether.
"""

import select
import socket
import time
from typing import Any, TypeVar

import hiredis
import redis.exceptions

from features.store import StoreRejected, StoreTimeout, StoreUnavailable
from features.stores.redis_errors import connect_failure, refusal
from features.stores.redis_options import RedisOptions

_Error = TypeVar("_Error", bound=Exception)
_NOT_YET = object()
_RECEIVE_BYTES = 1 << 18


def pack(*command: str | bytes | int) -> bytes:
    """One command in RESP."""
    packed: bytes = hiredis.pack_command(command)  # type: ignore[arg-type]  # typed as of one item
    return packed


class RedisWire:
    """Opens itself when needed. Any error closes it, so that a late reply has nobody to mislead.

    Not for threads to share.
    """

    def __init__(self, options: RedisOptions) -> None:
        self._options = options
        self._connection = options.connection()
        self._socket: socket.socket | None = None
        self._reader = _new_reader()
        self._buffer = bytearray(_RECEIVE_BYTES)

    def open(self) -> None:
        """Connect and log in unless that is done.

        Raises `StoreUnavailable` for a connection that closed since its last use, unless it may be
        replaced silently.
        """
        if self._socket is not None:
            if _is_quiet(self._socket):
                return
            self.close()
            if not self._options.reconnect_silently:
                cause = "the connection closed while it was idle, and the server may have lost writes"
                raise self._named(StoreUnavailable(cause))
        self.close()
        if unreadable := self._options.unreadable_files():
            raise StoreRejected(f"{self._options.address}: cannot read {', '.join(map(str, unreadable))}")
        try:
            self._connection.connect()
        except (redis.exceptions.RedisError, UnicodeError) as error:  # the latter: no name a host can have
            raise self._named(connect_failure(error)) from None
        self._socket = self._connection._sock
        self._reader = _new_reader()

    def close(self) -> None:
        self._socket = None
        self._connection.disconnect()

    def exchange(self, request: bytes, replies: int) -> list[Any]:
        """Send `request`, which Redis answers with so many `replies`, and return them in order.

        Raises the first error among them (as `refusal` has it) after all were read; `NOSCRIPT`
        is returned as the `hiredis.ReplyError` it is.
        """
        try:
            self.open()
            answer = self._exchange(request, replies)
            for reply in answer:
                if isinstance(reply, hiredis.ReplyError) and not str(reply).startswith("NOSCRIPT"):
                    raise self._named(refusal(str(reply)))
        except TimeoutError:
            self.close()
            raise StoreTimeout(
                f"{self._options.address}: no answer within {self._options.read_timeout_ms} ms"
            ) from None
        except (OSError, hiredis.HiredisError) as error:
            self.close()
            raise self._named(StoreUnavailable(f"the connection broke: {error}")) from None
        except BaseException:
            self.close()
            raise
        return answer

    def _exchange(self, request: bytes, replies: int) -> list[Any]:
        assert self._socket is not None
        connection, gets = self._socket, self._reader.gets
        answer: list[Any] = []
        deadline = time.monotonic() + self._options.read_timeout_ms / 1_000
        connection.settimeout(self._options.read_timeout_ms / 1_000)
        connection.sendall(request)
        while len(answer) < replies:
            reply = gets()
            if reply is _NOT_YET:
                self._receive(connection, deadline)
            elif not isinstance(reply, hiredis.PushNotification):
                answer.append(reply)
        if self._reader.has_data():
            raise ConnectionError("Redis sent more replies than it was asked for")
        return answer

    def _receive(self, connection: socket.socket, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        connection.settimeout(left)
        received = connection.recv_into(self._buffer)
        if received == 0:
            raise ConnectionError("Redis closed it")
        self._reader.feed(self._buffer, 0, received)  # type: ignore[arg-type]  # any buffer will do

    def _named(self, error: _Error) -> _Error:
        return type(error)(f"{self._options.address}: {self._options.masked(str(error))}")


def _new_reader() -> hiredis.Reader:
    return hiredis.Reader(notEnoughData=_NOT_YET)


def _is_quiet(connection: socket.socket) -> bool:
    """Nothing to read. What comes before we ask is either the end of the connection or not meant for us."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return not poll.poll(0)
