"""What a worker says of its own health, over HTTP and with its last words."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter

from stream.config import Settings
from stream.engine.health import Health, not_ready, progressed, stalled
from stream.engine.http import HealthServer
from stream.errors import ConfigurationError, ExitCode
from stream.settings.sections import Http
from stream.workers.runtime import Vitals, running

READY = Health(progressed_ms=0, assigned=True, caught_up=True, loaded=True)


class Clock:
    ms = 1_000

    def __call__(self) -> int:
        return self.ms


# ------------------------------------------------------------------------------------------------ pure


def test_a_worker_that_lacks_nothing_is_ready() -> None:
    assert not_ready(READY) == []


@pytest.mark.parametrize(
    ("lacking", "reason"),
    [
        ({"loaded": False}, "no bundle was loaded yet"),
        ({"assigned": False}, "no partitions are assigned yet"),
        ({"caught_up": False}, "earlier events are still being read again"),
        ({"draining": True}, "it is draining"),
    ],
)
def test_each_thing_that_is_lacking_is_a_reason(lacking: dict[str, bool], reason: str) -> None:
    assert not_ready(replace(READY, **lacking)) == [reason]


@given(at=st.integers(0, 10**9), later=st.integers(0, 10**9), stall=st.integers(1, 10**6))
def test_a_stall_is_more_than_so_long_without_progress(at: int, later: int, stall: int) -> None:
    health = progressed(READY, at)
    assert stalled(health, at + later, stall) == (later > stall)
    assert stalled(replace(health, silent_ms=later), at, stall) == (later > stall)


def test_progress_takes_a_stall_back() -> None:
    clock = Clock()
    vitals = Vitals(500, clock)
    clock.ms += 501
    assert vitals.live() == ["there is lag and no progress"]
    vitals.progressed()
    assert vitals.live() == []


def test_a_call_that_is_kept_too_long_is_a_stall_however_lately_there_was_progress() -> None:
    vitals = Vitals(500, Clock())
    vitals.hangs = lambda: True
    assert vitals.is_stalled()
    assert vitals.live() == ["there is lag and no progress"]


# ------------------------------------------------------------------------------------------------ HTTP


class Probes:
    def __init__(self) -> None:
        self.live: list[str] = []
        self.ready: list[str] = []


@pytest.fixture
def probes() -> Probes:
    return Probes()


@pytest.fixture
def server(probes: Probes) -> Iterator[HealthServer]:
    registry = CollectorRegistry()
    Counter("seen", "Things seen.", registry=registry).inc(3)
    made = HealthServer("127.0.0.1", 0, lambda: probes.live, lambda: probes.ready, registry)
    made.start()
    yield made
    made.stop()


def get(port: int, path: str) -> tuple[int, str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.headers["Content-Type"], response.read().decode()
    finally:
        connection.close()


def test_probes_answer_with_the_reasons(server: HealthServer, probes: Probes) -> None:
    assert get(server.port, "/livez")[:2] == (200, "application/json")
    probes.ready = ["it is draining", "no partitions are assigned yet"]
    status, _, body = get(server.port, "/readyz?verbose")
    assert status == 503
    assert json.loads(body) == {"ok": False, "problems": probes.ready}
    assert json.loads(get(server.port, "/livez")[2]) == {"ok": True, "problems": []}


def test_metrics_are_served_in_the_text_format(server: HealthServer) -> None:
    status, content_type, body = get(server.port, "/metrics")
    assert (status, content_type.partition(";")[0]) == (200, "text/plain")
    assert "seen_total 3.0" in body


def test_anything_else_is_not_found_and_says_what_there_is(server: HealthServer) -> None:
    status, _, body = get(server.port, "/")
    assert status == 404
    assert "/readyz" in body


# --------------------------------------------------------------------------------------- the process


def settings(port: int) -> Settings:
    return Settings(http=Http(host="127.0.0.1", port=port))


def test_a_port_that_is_taken_is_a_mistake_in_the_settings() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with (
            pytest.raises(ConfigurationError, match=rf"http\.port.*127\.0\.0\.1:{port}.*choose another port"),
            running(settings(port), CollectorRegistry(), Vitals(60_000)),
        ):
            pass


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_asks_the_worker_to_stop_and_nothing_more(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with running(settings(0), CollectorRegistry(), Vitals(60_000)) as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), number)
        assert stop.wait(10)
    assert signal.getsignal(number) is before


STUCK = """
import threading
from prometheus_client import CollectorRegistry
from stream.config import Settings
from stream.settings.sections import Http
from stream.workers.runtime import Vitals, running

def stuck_here():
    threading.Event().wait(60)

vitals = Vitals(stall_ms=1)
with running(Settings(http=Http(host="127.0.0.1", port=0)), CollectorRegistry(), vitals):
    stuck_here()
"""


def test_a_stalled_process_writes_down_every_stack_and_exits() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", STUCK], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == ExitCode.STALLED
    assert "there is lag and no progress; the stacks of all threads follow" in ended.stderr
    assert "in stuck_here" in ended.stderr
    assert ended.stderr.count("most recent call first") >= 3  # the loop's, the watchdog's and the server's
