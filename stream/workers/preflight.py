"""Whether a store that came up empty could be filled again: asked at start, and said loudly where not."""

import threading

import structlog
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource  # its types hide it where it is public

from features.definition.model import Definition
from stream.clock import now_ms
from stream.config import Settings, kafka_connection, topics_of
from stream.workers.history_files import HistoryFiles

log = structlog.get_logger()

ANSWER_S = 1.0
UNLIMITED = -1
_CRITICAL = 2
_DAY_MS = 86_400_000


def look(settings: Settings, definition: Definition, files: HistoryFiles | None) -> None:
    """Ask Kafka, in a thread of its own that ends soon, and say what there is to be said."""
    topic = topics_of(settings, definition.name).events

    def ask() -> None:
        problem = doubt(definition, topic, retention_ms(settings, topic), files, now_ms())
        if problem is not None:
            log.warning("cannot_be_rebuilt", problem=problem)

    threading.Thread(target=ask, name="preflight").start()


def doubt(
    definition: Definition, topic: str, retention_ms: int | None, files: HistoryFiles | None, now_ms: int
) -> str | None:
    """Why rows could not be rebuilt from what there is, and the mend; None where they can.

    retention_ms: how long the topic keeps records; None where that is not known. files: the history that
    is loaded then; whether it reaches from before the rows to within the log is judged where the files
    tell their extent without being read.
    """
    reach_ms = definition.idle if definition.idle is not None else definition.retention + definition.grace
    if not definition.rows or retention_ms is None or retention_ms == UNLIMITED or retention_ms >= reach_ms:
        return None
    cause = f"{topic} keeps records for {_days(retention_ms)}, and rows reach back {_days(reach_ms)}"
    mend = "raise retention.ms of the topic, or give materialize.history files that reach from there into it"
    if files is not None:
        extent = files.extent()
        if extent is None or definition.time.is_sequence:
            return None
        since, until = extent
        if until >= now_ms - retention_ms and since <= now_ms - reach_ms:
            return None
        cause += "; the files of materialize.history "
        cause += "end before it begins" if until < now_ms - retention_ms else "begin later than that"
    return f"{cause}: a Redis that came back empty could not be filled again; {mend}"


def retention_ms(settings: Settings, topic: str) -> int | None:
    """How long the topic keeps records; None where Kafka does not say."""
    config = {"log_level": _CRITICAL, **kafka_connection(settings).admin(), "error_cb": lambda _: None}
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    try:
        with AdminClient(config) as admin:
            answers = admin.describe_configs([resource], request_timeout=ANSWER_S)
            found = answers[resource].result(ANSWER_S + 1)
            return int(found["retention.ms"].value)
    except (KafkaException, TimeoutError, KeyError, TypeError, ValueError):
        return None


def _days(ms: int) -> str:
    return f"{ms / _DAY_MS:.3g} days"
