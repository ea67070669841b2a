"""What the stage's proxies do to connections is what the two ends see."""

import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from tests.chaos.stage.toxiproxy import Proxy, Toxiproxy
from tests.integration.processes import await_that

SWALLOWED_S = 0.3
"""An answer on loopback that is not there by then does not come: nothing delays it but what the test did."""


class Echo(socketserver.ThreadingTCPServer):
    """Says back what it hears, and closes a connection on which it hears END."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.heard = b""


class Answer(socketserver.BaseRequestHandler):
    server: Echo

    def handle(self) -> None:
        with suppress(OSError):
            while data := self.request.recv(65_536):
                self.server.heard += data
                self.request.sendall(data)
                if data.endswith(b"END"):
                    return


@pytest.fixture
def echo() -> Iterator[Echo]:
    with Echo() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def proxy(toxiproxy: Toxiproxy, echo: Echo, fresh_name: Callable[[str], str]) -> Iterator[Proxy]:
    made = toxiproxy.proxy(fresh_name("echo"), echo.server_address[1])
    yield made
    made.heal()


@pytest.fixture
def connect(proxy: Proxy) -> Iterator[Callable[[], socket.socket]]:
    opened: list[socket.socket] = []

    def opener() -> socket.socket:
        opened.append(socket.create_connection(("127.0.0.1", proxy.port), timeout=10))
        return opened[-1]

    yield opener
    for connection in opened:
        connection.close()


Connect = Callable[[], socket.socket]


def exchange(connection: socket.socket, data: bytes) -> bytes:
    """What comes back until it is as long, or the connection ends."""
    connection.sendall(data)
    found = b""
    while len(found) < len(data) and (more := connection.recv(65_536)):
        found += more
    return found


def test_a_cut_link_closes_what_is_open_and_refuses_what_is_new(proxy: Proxy, connect: Connect) -> None:
    before = connect()
    assert exchange(before, b"hello") == b"hello"
    proxy.cut()
    assert before.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        connect()
    proxy.heal()
    assert exchange(connect(), b"again") == b"again"


def test_a_reset_link_closes_what_is_open_and_resets_what_is_new(proxy: Proxy, connect: Connect) -> None:
    before = connect()
    assert exchange(before, b"hello") == b"hello"
    proxy.reset_peer()
    assert exchange(before, b"hello") == b""
    with pytest.raises(ConnectionResetError):
        exchange(connect(), b"hello")
    proxy.heal()
    assert exchange(connect(), b"again") == b"again"


def test_a_half_open_link_swallows_and_closes_nothing(proxy: Proxy, connect: Connect, echo: Echo) -> None:
    before = connect()
    proxy.half_open()
    for connection in (before, connect()):
        connection.settimeout(SWALLOWED_S)
        with pytest.raises(TimeoutError):
            exchange(connection, b"hello")
    assert echo.heard == b""
    proxy.heal()
    before.settimeout(10)
    assert before.recv(1) == b""
    assert exchange(connect(), b"again") == b"again"


def test_a_link_may_lose_answers_only(proxy: Proxy, connect: Connect, echo: Echo) -> None:
    proxy.half_open_one_way("downstream")
    connection = connect()
    connection.settimeout(SWALLOWED_S)
    with pytest.raises(TimeoutError):
        exchange(connection, b"hello")
    await_that(lambda: echo.heard == b"hello", "the request does not arrive")


def test_answers_of_a_slow_link_are_late(proxy: Proxy, connect: Connect) -> None:
    proxy.latency(150)
    connection, since = connect(), time.monotonic()
    assert exchange(connection, b"hello") == b"hello"
    assert time.monotonic() - since >= 0.15


def test_a_narrow_link_takes_its_time(proxy: Proxy, connect: Connect) -> None:
    proxy.bandwidth(kb_per_s=50)
    connection, since = connect(), time.monotonic()
    assert exchange(connection, b"x" * 20_000) == b"x" * 20_000
    assert time.monotonic() - since >= 0.35


def test_a_link_may_end_within_an_answer(proxy: Proxy, connect: Connect) -> None:
    proxy.limit_data(3)
    assert exchange(connect(), b"hello") == b"hel"


def test_a_link_may_hold_back_the_end_of_a_connection(proxy: Proxy, connect: Connect) -> None:
    proxy.slow_close(200)
    connection, since = connect(), time.monotonic()
    assert exchange(connection, b"END") == b"END"
    assert connection.recv(1) == b""
    assert time.monotonic() - since >= 0.2


def test_whatever_was_done_is_undone_at_once(toxiproxy: Toxiproxy, proxy: Proxy, connect: Connect) -> None:
    proxy.latency(60_000)
    proxy.limit_data(1)
    proxy.cut()
    toxiproxy.heal()
    assert exchange(connect(), b"hello") == b"hello"
