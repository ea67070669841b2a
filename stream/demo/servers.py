"""Kafka and Redis of a run: hosted here and gone with it, or given."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from stream.demo.kafka_server import EmbeddedKafka
from stream.demo.options import DemoError, DemoOptions
from stream.demo.redis_server import EmbeddedRedis, RedisServerError


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the workers find what they need."""

    kafka: str
    """`HOST:PORT`."""
    redis: str
    """A URL."""
    own_kafka: EmbeddedKafka | None
    own_redis: EmbeddedRedis | None


@contextmanager
def servers(options: DemoOptions, directory: Path) -> Iterator[Servers]:
    """Start what was not given, and stop it in the end. Raises `DemoError`."""
    with ExitStack() as stack:
        own_kafka = stack.enter_context(EmbeddedKafka()) if options.kafka is None else None
        own_redis = None
        if options.redis is None:
            try:
                own_redis = stack.enter_context(EmbeddedRedis(directory / "redis"))
            except RedisServerError as error:
                raise DemoError(str(error)) from None
        yield Servers(
            kafka=own_kafka.bootstrap if own_kafka is not None else options.kafka or "",
            redis=own_redis.url if own_redis is not None else options.redis or "",
            own_kafka=own_kafka,
            own_redis=own_redis,
        )
