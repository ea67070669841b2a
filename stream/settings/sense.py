"""What settings mean together, and what the worker keeps to itself of librdkafka's."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from confluent_kafka import KafkaException, Producer
from pydantic import SecretStr

from features.stores.redis_options import RedisOptions
from features.stores.redis_url import RedisOptionsRefused
from stream.settings.keys import PROPERTIES, is_secret
from stream.settings.sections import Settings
from stream.transport.kafka.properties import OWNED

TRANSACTIONS_IN_TIMEOUT = 10
"""So many times must a transaction fit into the timeout: acknowledgements may be late."""
_STOP = "riverrun.stop"
"""A property that does not exist: librdkafka reads what stands before it, and makes no client."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """Something that does not make sense; told about the first of `keys`, judged over all of them."""

    keys: tuple[str, ...]
    cause: str
    mend: str


def doubts(settings: Settings) -> Iterator[Doubt]:
    """Everything that does not make sense although each value may be what it is."""
    yield from _groups_and_topics(settings)
    yield from _times(settings)
    yield from _delivery(settings)
    yield from _redis(settings)
    for name, value in settings.kafka.properties.items():
        yield from _property(name, value)


def _groups_and_topics(settings: Settings) -> Iterator[Doubt]:
    kafka = settings.kafka
    if kafka.group is not None and kafka.group == kafka.materialize_group:
        yield Doubt(
            ("kafka.group", "kafka.materialize_group"),
            "score and materialize workers in one group would share the events, and each see only some",
            "give them two groups",
        )
    first: dict[str, str] = {}
    for name, topic in kafka.topics:
        if topic is not None and topic in first:
            key = f"kafka.topics.{name}"
            yield Doubt((key, first[topic]), f"is the same as {first[topic]}", "give each its own topic")
        elif topic is not None:
            first[topic] = f"kafka.topics.{name}"


def _times(settings: Settings) -> Iterator[Doubt]:
    fresh, redis, stall_ms = settings.freshness, settings.redis, 1_000 * settings.watchdog.stall_s
    if fresh.heartbeat_ms >= fresh.limit_ms:
        yield Doubt(
            ("freshness.heartbeat_ms", "freshness.limit_ms"),
            f"with a sign of life every {fresh.heartbeat_ms} ms every quiet stream is behind "
            f"freshness.limit_ms = {fresh.limit_ms}",
            "make it a fraction of freshness.limit_ms",
        )
    for name in ("deadline_ms", "connect_timeout_ms", "write_timeout_ms"):
        if getattr(redis, name) >= stall_ms:
            yield Doubt(
                (f"redis.{name}", "watchdog.stall_s"),
                f"a worker that waits so long for Redis is taken for stalled after {stall_ms} ms",
                "make it less, or watchdog.stall_s more",
            )


def _delivery(settings: Settings) -> Iterator[Doubt]:
    delivery = settings.delivery
    if delivery.mode != "exactly_once":
        return
    if delivery.transaction_ms * TRANSACTIONS_IN_TIMEOUT > delivery.transaction_timeout_ms:
        yield Doubt(
            ("delivery.transaction_ms", "delivery.transaction_timeout_ms"),
            f"a transaction of {delivery.transaction_ms} ms may not end before Kafka gives it up after "
            f"delivery.transaction_timeout_ms = {delivery.transaction_timeout_ms}",
            f"make it a {TRANSACTIONS_IN_TIMEOUT}th of delivery.transaction_timeout_ms or less",
        )
    if delivery.transaction_timeout_ms >= 1_000 * settings.watchdog.stall_s:
        yield Doubt(
            ("delivery.transaction_timeout_ms", "watchdog.stall_s"),
            f"a worker that waits so long for a transaction is taken for stalled after "
            f"{settings.watchdog.stall_s} s",
            "make it less, or watchdog.stall_s more",
        )
    if delivery.worker is None and settings.http.port == 0:
        yield Doubt(
            ("delivery.worker", "delivery.mode", "http.port"),
            "with http.port = 0 nothing names this worker, and after a start it would not be known again",
            "give each worker of the group a name of its own, or a fixed http.port",
        )
    linger = settings.kafka.properties.get("linger.ms") or settings.kafka.properties.get(
        "queue.buffering.max.ms"
    )
    try:
        linger_ms = float(linger.get_secret_value()) if linger is not None else 0.0
    except ValueError:
        return  # told of already
    if linger_ms >= delivery.transaction_ms:
        yield Doubt(
            (f"{PROPERTIES}.linger.ms", "delivery.transaction_ms"),
            f"records that linger for {linger_ms:g} ms do not come before their transaction is to end, after "
            f"delivery.transaction_ms = {delivery.transaction_ms}",
            "make it a fraction of delivery.transaction_ms",
        )


def _redis(settings: Settings) -> Iterator[Doubt]:
    redis = settings.redis
    if redis.cert_file is not None and redis.key_file is None:
        yield Doubt(
            ("redis.cert_file", "redis.key_file"), "a certificate needs its private key", "set redis.key_file"
        )
    try:
        options = redis_options(settings, read_timeout_ms=redis.deadline_ms)
    except RedisOptionsRefused as refused:
        others = ("redis.url", "redis.ca_file", "redis.cert_file", "redis.key_file")
        for one in refused.problems:
            yield Doubt((f"redis.{one.setting}", *others), one.cause, one.mend)
        return
    for path in options.unreadable_files():
        key = next(f"redis.{n}" for n in ("ca_file", "cert_file", "key_file") if getattr(redis, n) == path)
        yield Doubt((key,), f"{path} cannot be read", "check the path and its rights")


def _property(name: str, value: SecretStr) -> Iterator[Doubt]:
    key = f"{PROPERTIES}.{name}"
    if name in OWNED:
        yield Doubt((key,), "the worker decides this", OWNED[name])
        return
    cause = refusal_of_librdkafka(name, value.get_secret_value())
    if cause is not None:
        cause = "librdkafka refuses its value" if is_secret(key) else cause
        yield Doubt((key,), cause, "see librdkafka's CONFIGURATION.md for names and values")


def refusal_of_librdkafka(name: str, value: str) -> str | None:
    """What librdkafka says of one property; None when it takes it. Makes no client and no connection."""
    try:
        f"{name}{value}".encode()  # half of a surrogate pair crashes confluent_kafka, and the process with it
        Producer({name: value, _STOP: ""})
    except KafkaException as error:
        cause: str = error.args[0].str()
        return None if _STOP in cause else re.sub(r"\s+", " ", cause)
    except (AttributeError, TypeError, ValueError):
        return "this is not a property that a text can set"
    raise AssertionError(f"librdkafka took {_STOP}")


def redis_options(
    settings: Settings, read_timeout_ms: int, *, reconnect_silently: bool = True
) -> RedisOptions:
    """Raises `RedisOptionsRefused`, which quotes no secret, when the parts do not fit together."""
    redis = settings.redis
    return RedisOptions(
        url=redis.url.get_secret_value(),
        username=redis.username,
        password=redis.password.get_secret_value() if redis.password else None,
        sentinel_username=redis.sentinel_username,
        sentinel_password=redis.sentinel_password.get_secret_value() if redis.sentinel_password else None,
        ca_file=redis.ca_file,
        cert_file=redis.cert_file,
        key_file=redis.key_file,
        connect_timeout_ms=redis.connect_timeout_ms,
        read_timeout_ms=read_timeout_ms,
        reconnect_silently=reconnect_silently,
    )
