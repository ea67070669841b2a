"""How large a record the output topics take, asked at start and again from time to time."""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource  # its types hide it where it is public

from stream.errors import Fatal
from stream.transport.kafka.errors import is_fatal, refused_properties, sentence
from stream.transport.kafka.properties import KafkaConnection
from stream.transport.kafka.statistics import ANEW_AFTER_S

SETTING = "max.message.bytes"
BYTES_LEAST = 4_096
ASK_TIMEOUT_S = 1.0
ANSWER_TIMEOUT_S = 10.0
NEW_TOPIC_S = 2.0
ABSENT = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC})
LOOK_EVERY_S = 300.0
MOCK_CLUSTER = "mockCluster"

_log = logging.getLogger("librdkafka")


class TopicLimits:
    """`max.message.bytes` of some topics. First `read`, then `refresh` as often as you like."""

    def __init__(
        self,
        connection: KafkaConnection,
        topics: Sequence[str],
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._resources = {topic: ConfigResource(ConfigResource.Type.TOPIC, topic) for topic in topics}
        self._clock_s = clock_s
        self._known: dict[str, int] = {}
        self._asked: dict[str, Future[Any]] = {}
        self._asked_s = -LOOK_EVERY_S
        self._said = False
        self._config = connection.admin() | {"error_cb": lambda _: None}
        try:
            self._admin = self._connect()
        except KafkaException as error:
            raise refused_properties(error) from None

    def _connect(self) -> AdminClient:
        return AdminClient(self._config, logger=_log)

    def of(self, topic: str) -> int | None:
        """None where Kafka does not say."""
        return self._known.get(topic)

    @property
    def least(self) -> int | None:
        """Of all topics; None where Kafka says none."""
        return min(self._known.values(), default=None)

    def read(self, waiting: Callable[[], None]) -> None:
        """Wait for the answers. `waiting` is called about every second until a broker answers; what it raises
        passes through. Raises `Fatal` for a topic that is not there, or takes next to nothing.
        """
        for topic in self._resources:
            self._await_topic(topic, waiting)
        if not self._is_embedded():
            self._ask()
            deadline_s = self._clock_s() + ANSWER_TIMEOUT_S + 1
            while self._asked and self._clock_s() < deadline_s:
                self._collect(0.1)
                waiting()
        for topic in self._resources.keys() - self._known.keys():
            self._doubt(f"topic {topic}", None)
        for topic, bytes_max in self._known.items():
            if bytes_max < BYTES_LEAST:
                cause = f"takes {bytes_max} bytes, and not every dead letter can be cut to so few"
                raise Fatal(f"topic {topic}: {cause}; give it {SETTING}={BYTES_LEAST} or more")

    def refresh(self) -> bool:
        """Look again where that is due, without waiting; whether a limit changed since the last call."""
        before = dict(self._known)
        self._collect(0)
        if not self._asked and self._known and self._clock_s() - self._asked_s >= LOOK_EVERY_S:
            self._ask()
        return before != self._known

    def _await_topic(self, topic: str, waiting: Callable[[], None]) -> None:
        """One that was created a moment ago is not known to every broker yet."""
        began_s = anew_s = self._clock_s()
        while True:
            if self._clock_s() - anew_s > ANEW_AFTER_S:
                anew_s, self._admin = self._clock_s(), self._connect()
            try:
                error = self._admin.list_topics(topic, timeout=ASK_TIMEOUT_S).topics[topic].error
            except KafkaException as raised:
                error = raised.args[0]
            if error is None:
                return
            is_new = error.code() in ABSENT and self._clock_s() - began_s < NEW_TOPIC_S
            if is_fatal(error) and not is_new:
                raise Fatal(sentence(f"topic {topic}", error))
            if error.code() in ABSENT:
                time.sleep(0.1)
            waiting()

    def _is_embedded(self) -> bool:
        """Librdkafka's mock cluster, which the demo embeds, would never answer."""
        try:
            cluster: str | None = self._admin.list_topics(timeout=ASK_TIMEOUT_S).cluster_id
        except KafkaException:
            return False
        return (cluster or "").startswith(MOCK_CLUSTER)

    def _ask(self) -> None:
        self._asked_s = self._clock_s()
        answers = self._admin.describe_configs(
            list(self._resources.values()), request_timeout=ANSWER_TIMEOUT_S
        )
        self._asked = {topic: answers[resource] for topic, resource in self._resources.items()}

    def _collect(self, wait_s: float) -> None:
        for topic, answer in list(self._asked.items()):
            try:
                self._known[topic] = int(answer.result(wait_s)[SETTING].value)
            except TimeoutError:
                continue
            except KafkaException as raised:
                self._doubt(f"topic {topic}", raised.args[0])
                self._admin = self._connect()  # the next time another one asks: this may be stranded
            except (KeyError, TypeError, ValueError):
                self._doubt(f"topic {topic}", None)
            del self._asked[topic]

    def _doubt(self, what: str, error: KafkaError | None) -> None:
        """Say once that the producer's own limit must do."""
        if not self._said:
            self._said = True
            cause = "Kafka does not say" if error is None else sentence("", error).removeprefix(": ")
            _log.warning(
                "%s: its %s is not known (%s); kafka.properties.message.max.bytes must not be larger; "
                "or grant this principal DESCRIBE_CONFIGS on the topic",
                *(what, SETTING, cause),
            )
