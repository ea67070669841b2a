"""What of librdkafka's configuration is the worker's own, what passes through, and what is secret."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

OWNED: Mapping[str, str] = {
    "bootstrap.servers": "set kafka.bootstrap_servers (--kafka)",
    "metadata.broker.list": "set kafka.bootstrap_servers (--kafka)",
    "group.id": "set kafka.group",
    "auto.offset.reset": "set kafka.start, which says where a group that never committed begins; "
    "afterwards an offset that vanished stops the worker instead of skipping records",
    "topic.auto.offset.reset": "set kafka.start",
    "enable.auto.commit": "leave it out: offsets are committed only after delivery is acknowledged",
    "auto.commit.enable": "leave it out: offsets are committed only after delivery is acknowledged",
    "auto.commit.interval.ms": "leave it out: offsets are committed only after delivery is acknowledged",
    "enable.auto.offset.store": "leave it out: offsets are committed only after delivery is acknowledged",
    "enable.partition.eof": "leave it out: the worker needs it to know that it has read everything",
    "isolation.level": "leave it out: records of aborted transactions are never read",
    "enable.idempotence": "leave it out: the producer is always idempotent",
    "enable.gapless.guarantee": "leave it out: the producer is always idempotent",
    "acks": "leave it out: every record is acknowledged by all in-sync replicas",
    "request.required.acks": "leave it out: every record is acknowledged by all in-sync replicas",
    "message.timeout.ms": "leave it out: while the output is down the worker waits and gives up nothing",
    "delivery.timeout.ms": "leave it out: while the output is down the worker waits and gives up nothing",
    "retries": "leave it out: the worker retries until a record is delivered",
    "message.send.max.retries": "leave it out: the worker retries until a record is delivered",
    "transactional.id": "set delivery.mode to exactly_once, and delivery.worker",
    "transaction.timeout.ms": "set delivery.transaction_timeout_ms",
    "test.mock.num.brokers": "leave it out: `riverrun demo` hosts an embedded Kafka by itself",
    "statistics.interval.ms": "leave it out: the worker reads librdkafka's statistics every five seconds",
    "log.queue": "leave it out: librdkafka's log goes through the worker's",
    "debug.callback": "set `debug` alone: librdkafka's log goes through the worker's",
    "error_cb": "leave it out: callbacks are the worker's",
    "on_delivery": "leave it out: callbacks are the worker's",
    "delivery.report.only.error": "leave it out: the worker needs every acknowledgement",
    "key.deserializer": "leave it out: the worker decodes records itself",
    "value.deserializer": "leave it out: the worker decodes records itself",
    "key.serializer": "leave it out: the worker encodes records itself",
    "value.serializer": "leave it out: the worker encodes records itself",
    "sasl.jaas.config": "that is the Java client's: set sasl.username and sasl.password",
    "ssl.truststore.location": "that is the Java client's: set ssl.ca.location to a PEM file",
    "ssl.truststore.password": "that is the Java client's: set ssl.ca.location to a PEM file",
    "ssl.truststore.type": "that is the Java client's: set ssl.ca.location to a PEM file",
    "ssl.truststore.certificates": "that is the Java client's: set ssl.ca.pem",
    "ssl.keystore.type": "that is the Java client's: set ssl.keystore.location (PKCS#12), or "
    "ssl.certificate.location and ssl.key.location (PEM)",
}
"""Properties that are refused by name, with what to do instead."""

SECRET: frozenset[str] = frozenset(
    {
        "sasl.password",
        "sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.client.credentials.client.secret",
        "sasl.oauthbearer.assertion.private.key.passphrase",
        "sasl.oauthbearer.assertion.private.key.pem",
        "sasl.oauthbearer.config",
        "ssl.key.password",
        "ssl.key.pem",
        "ssl.keystore.password",
    }
)
"""Properties whose values are never shown."""

CONSUMER_ONLY: frozenset[str] = frozenset(
    {
        "check.crcs",
        "client.rack",
        "coordinator.query.interval.ms",
        "fetch.error.backoff.ms",
        "fetch.max.bytes",
        "fetch.message.max.bytes",
        "fetch.min.bytes",
        "fetch.queue.backoff.ms",
        "fetch.wait.max.ms",
        "group.instance.id",
        "group.protocol",
        "group.protocol.type",
        "group.remote.assignor",
        "heartbeat.interval.ms",
        "max.partition.fetch.bytes",
        "max.poll.interval.ms",
        "partition.assignment.strategy",
        "queued.max.messages.kbytes",
        "queued.min.messages",
        "session.timeout.ms",
    }
)
PRODUCER_ONLY: frozenset[str] = frozenset(
    {
        "batch.num.messages",
        "batch.size",
        "compression.codec",
        "compression.level",
        "compression.type",
        "linger.ms",
        "partitioner",
        "queue.buffering.backpressure.threshold",
        "queue.buffering.max.kbytes",
        "queue.buffering.max.messages",
        "queue.buffering.max.ms",
        "request.timeout.ms",
        "retry.backoff.max.ms",
        "sticky.partitioning.linger.ms",
    }
)

CLIENT_DEFAULTS: Mapping[str, str] = {
    # As Java's clients: librdkafka waits ten times as long before it tries a broker again that came back,
    # and three times as long for one that lets connections hang.
    "reconnect.backoff.max.ms": "1000",
    "socket.connection.setup.timeout.ms": "10000",
}
CONSUMER_DEFAULTS: Mapping[str, str] = {
    "partition.assignment.strategy": "cooperative-sticky",
    "fetch.error.backoff.ms": "50",
    # Both together bound what waits to be polled, of all partitions: fetching stops when the queue, which
    # they share, holds so much, and each broker may then still have one answer under way. A larger batch of
    # records is fetched all the same, alone.
    "queued.max.messages.kbytes": "32768",
    "fetch.max.bytes": "8388608",
    "topic.metadata.refresh.interval.ms": "30000",  # how soon added partitions are found
}
PRODUCER_DEFAULTS: Mapping[str, str] = {
    "linger.ms": "5",
    "partitioner": "murmur2_random",  # as Java's: a key goes where every other client would put it
    "queue.buffering.max.kbytes": "131072",
}
KIP_848_FORBIDS = ("partition.assignment.strategy", "session.timeout.ms", "heartbeat.interval.ms")
"""Set by the broker under `group.protocol=consumer`; librdkafka refuses them then."""
OF_MEMBERS = ("group.protocol", "group.instance.id", "group.remote.assignor", "max.poll.interval.ms")
"""What makes sense only for who joins a group."""


@dataclass(frozen=True, slots=True)
class KafkaConnection:
    """Which cluster, and librdkafka's properties for it; the latter are not shown, they hold secrets."""

    bootstrap_servers: str
    properties: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def cooperative(self) -> bool:
        """Whether rebalances are incremental."""
        if self.properties.get("group.protocol") == "consumer":
            return True
        default = CONSUMER_DEFAULTS["partition.assignment.strategy"]
        return "cooperative" in self.properties.get("partition.assignment.strategy", default)

    def consumer(self, group: str) -> dict[str, Any]:
        """What to configure librdkafka with for a consumer of `group`."""
        passed = {k: v for k, v in self.properties.items() if k not in PRODUCER_ONLY}
        defaults = {**CLIENT_DEFAULTS, **CONSUMER_DEFAULTS}
        if passed.get("group.protocol") == "consumer":
            defaults = {k: v for k, v in defaults.items() if k not in KIP_848_FORBIDS}
        return (
            defaults
            | passed
            | {
                "bootstrap.servers": self.bootstrap_servers,
                "group.id": group,
                "auto.offset.reset": "error",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
                "allow.auto.create.topics": False,
            }
        )

    def onlooker(self, group: str) -> dict[str, Any]:
        """As `consumer`, for one that asks where `group` stands and joins nothing.

        Under `group.protocol=consumer` librdkafka would ask as a member, and brokers know of none.
        """
        plain = {k: v for k, v in self.properties.items() if k not in OF_MEMBERS}
        return KafkaConnection(self.bootstrap_servers, plain).consumer(group)

    def producer(self) -> dict[str, Any]:
        """What to configure librdkafka with for an idempotent producer that never gives up a record."""
        passed = {k: v for k, v in self.properties.items() if k not in CONSUMER_ONLY}
        return (
            {**CLIENT_DEFAULTS, **PRODUCER_DEFAULTS}
            | passed
            | {
                "bootstrap.servers": self.bootstrap_servers,
                "enable.idempotence": True,
                "acks": "all",
                "message.timeout.ms": 0,
            }
        )

    def admin(self) -> dict[str, Any]:
        """What to configure librdkafka with for an admin client."""
        passed = {k: v for k, v in self.properties.items() if k not in CONSUMER_ONLY | PRODUCER_ONLY}
        return {**CLIENT_DEFAULTS, **passed, "bootstrap.servers": self.bootstrap_servers}


def parse_properties(text: str) -> dict[str, tuple[str, int]]:
    r"""A Java-style ``.properties`` file: by key, the value and its line number (from 1).

    ``key=value``, ``key: value`` or ``key value``; ``#`` and ``!`` start comment lines; a line that ends
    in an odd number of backslashes goes on in the next, whose leading space is dropped; a backslash
    escapes what follows (``\t \n \r \f \uXXXX``). The last value of a key wins.
    """
    found: dict[str, tuple[str, int]] = {}
    logical, started = "", 0  # the number of the line it began in; 0: none is open
    for number, raw in enumerate([*text.splitlines(), ""], start=1):
        line = raw.lstrip(" \t\f")
        if not started and (not line or line[0] in "#!"):
            continue
        started = started or number
        logical += line
        if (len(logical) - len(logical.rstrip("\\"))) % 2:
            logical = logical[:-1]
            continue
        if logical:
            key, value = _split(logical)
            found[key] = (value, started)
        logical, started = "", 0
    return found


def _split(line: str) -> tuple[str, str]:
    """Key and value at the first `=`, `:` or blank that no backslash escapes."""
    at = 0
    while at < len(line) and line[at] not in "=: \t\f":
        at += 2 if line[at] == "\\" else 1
    rest = line[at:].lstrip(" \t\f")
    if rest[:1] in ("=", ":"):
        rest = rest[1:].lstrip(" \t\f")
    return _unescape(line[:at]), _unescape(rest)


def _unescape(text: str) -> str:
    if "\\" not in text:
        return text
    out, at = [], 0
    while at < len(text):
        if text[at] != "\\":
            out.append(text[at])
            at += 1
        elif text[at + 1 : at + 2] == "u" and _is_hex(text[at + 2 : at + 6]):
            out.append(chr(int(text[at + 2 : at + 6], 16)))
            at += 6
        else:
            escaped = text[at + 1 : at + 2]
            out.append({"t": "\t", "n": "\n", "r": "\r", "f": "\f"}.get(escaped, escaped))
            at += 2
    joined = "".join(out).encode("utf-16-le", "surrogatepass")  # Java writes rare characters as two escapes
    return joined.decode("utf-16-le", "replace")


def _is_hex(text: str) -> bool:
    return len(text) == 4 and all(c in "0123456789abcdefABCDEF" for c in text)
