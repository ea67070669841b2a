"""A Redis that answers as a test tells it to: late, by halves, too much, or with an error."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import hiredis

Answer: TypeAlias = Callable[[socket.socket, list[Any]], None]
"""Answers one command of a client on its connection."""

_HANDSHAKE = {b"HELLO": b"%1\r\n$5\r\nproto\r\n:3\r\n", b"CLIENT": b"+OK\r\n", b"SELECT": b"+OK\r\n"}


def says(reply: bytes) -> Answer:
    return lambda connection, _command: connection.sendall(reply)


def bulk(*values: bytes) -> bytes:
    """The reply that is a list of strings."""
    return b"*%d\r\n" % len(values) + b"".join(b"$%d\r\n%b\r\n" % (len(value), value) for value in values)


def node(answer: Answer, slots: tuple[int, int] = (0, 16_383), host: bytes = b"127.0.0.1") -> Answer:
    """Of a cluster of which it knows itself alone."""

    def answer_as_node(connection: socket.socket, command: list[Any]) -> None:
        if command[0] == b"CLUSTER":
            port = connection.getsockname()[1]
            place = b"*3\r\n$%d\r\n%b\r\n:%d\r\n$2\r\nid\r\n" % (len(host), host, port)
            connection.sendall(b"*1\r\n*3\r\n:%d\r\n:%d\r\n%b" % (*slots, place))
        else:
            answer(connection, command)

    return answer_as_node


@contextmanager
def fake_redis(
    answer: Answer,
    hello: bytes = _HANDSHAKE[b"HELLO"],
    on_begin: Callable[[], object] = lambda: None,
    on_end: Callable[[], object] = lambda: None,
) -> Iterator[str]:
    """The URL of a server that logs clients in and leaves every further command to `answer`.

    Connections are served in parallel; `answer` may block. on_begin: called when a client has come, before
    it is logged in; on_end: when it has gone, and everything it sent was answered.
    """
    connections: list[socket.socket] = []
    replies = _HANDSHAKE | {b"HELLO": hello}

    def serve(connection: socket.socket) -> None:
        on_begin()
        reader = hiredis.Reader(notEnoughData=...)
        try:
            while received := connection.recv(1 << 16):
                reader.feed(received)
                while (command := reader.gets()) is not ...:
                    reply = replies.get(command[0])
                    if reply is None:
                        answer(connection, command)
                    else:
                        connection.sendall(reply)
        except OSError:
            pass  # the client has gone, or the test is over
        on_end()

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connections.append(connection)
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        accepting.join()
    for connection in connections:
        connection.close()
