"""What happens to the workers of a soak run, in turn."""

import os
import signal
import time
from collections.abc import Callable

from tests.integration.processes import stop
from tests.integration.stage import Stage
from tests.soak.load import Load
from tools.kafka_server import KafkaServer
from tools.redis_server import RedisServer

STANDS_STILL_S = 3.0
"""Less than workers take it to be gone for."""


class Faults:
    """One after the other, again and again."""

    def __init__(self, stage: Stage, kafka: KafkaServer, redis: RedisServer, load: Load, mode: str) -> None:
        self._stage, self._kafka, self._mode = stage, kafka, mode
        self._champions = ["v1", "v2"]
        # A broker that goes may end an exactly-once worker: librdkafka does not come back from a call, and
        # the watchdog notices. The memory of its successor begins anew.
        broker: tuple[str, Callable[[], None]] = ("Kafka stands still", self._pause)
        if mode == "at_least_once":
            broker = ("Kafka is killed", self._kill)
        self._kinds: list[tuple[str, Callable[[], None]]] = [
            ("Redis restarts", redis.restart),
            ("a second score worker", self._score_joins),
            ("another champion", self._swap),
            ("poison", lambda: load.poison(50)),
            broker,
            ("a second materializer", self._materialize_joins),
        ]
        self.log: list[tuple[float, str]] = []
        """When each began, s after the run did."""
        self.all_kinds_s: float | None = None
        """When each kind had happened once."""

    def next(self, clock_s: Callable[[], float]) -> str:
        """One of them, which is over when this returns; its name."""
        name, happens = self._kinds[len(self.log) % len(self._kinds)]
        self.log.append((round(clock_s(), 1), name))
        happens()
        if len(self.log) == len(self._kinds):
            self.all_kinds_s = clock_s()
        return name

    def _kill(self) -> None:
        """And not stopped: an only broker that stops says that there are none, and a client that hears it may
        never ask again (librdkafka issue 5301).
        """
        self._kafka.kill()
        self._kafka.start()

    def _pause(self) -> None:
        assert self._kafka.process is not None
        pid = self._kafka.process.pid
        stop(pid)
        try:
            time.sleep(STANDS_STILL_S)
        finally:
            os.kill(pid, signal.SIGCONT)

    def _score_joins(self) -> None:
        self._stage.start("score", *score_settings(self._mode, "second")).await_ready().terminate()

    def _materialize_joins(self) -> None:
        self._stage.start("materialize").await_ready().terminate()

    def _swap(self) -> None:
        champion, previous = self._champions
        self._champions = [previous, champion]
        self._stage.deploy(previous, previous=champion)


def score_settings(mode: str, worker: str) -> tuple[str, str]:
    """worker: workers of one name fence each other, and those that bind any free port would have one name."""
    return f"delivery.mode={mode}", f"delivery.worker={worker}"
