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


@contextmanager
def fake_redis(answer: Answer, hello: bytes = _HANDSHAKE[b"HELLO"]) -> Iterator[str]:
    """The URL of a server that logs clients in and leaves every further command to `answer`.

    Connections are served in parallel; `answer` may block.
    """
    connections: list[socket.socket] = []
    replies = _HANDSHAKE | {b"HELLO": hello}

    def serve(connection: socket.socket) -> None:
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

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
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
