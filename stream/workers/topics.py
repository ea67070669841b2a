"""Creates a use case's topics where they are missing, and says what is there. It changes no topic."""

from dataclasses import asdict, dataclass

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic  # confluent_kafka.admin's is the same, but its types hide it

from stream.config import Settings, kafka_connection, load_usecase, topics_of
from stream.errors import Fatal
from stream.transport.kafka.errors import refused_properties, sentence

METADATA_S = 10.0
ANSWER_S = 30.0
BROKERS_CHOOSE = -1
"""The replication factor that means the cluster's own default."""

_CRITICAL = 2
"""Syslog's; below it librdkafka writes a line for each connection refused, twenty a second."""


@dataclass(frozen=True, slots=True)
class _Cluster:
    address: str
    admin: AdminClient
    errors: list[str]
    """What librdkafka told meanwhile, oldest first."""

    def partitions(self, names: list[str]) -> dict[str, int]:
        """How many those of the topics have that exist. Raises `Fatal`."""
        try:
            found = self.admin.list_topics(timeout=METADATA_S).topics
        except KafkaException as error:
            self.admin.poll(0)
            cause = self.errors[0] if self.errors else error.args[0].str()
            mend = "check that it runs, kafka.bootstrap_servers (--kafka) and kafka.properties"
            raise Fatal(f"Kafka at {self.address} does not answer: {cause}; {mend}") from None
        return {name: len(found[name].partitions) for name in names if name in found}

    def create(self, names: list[str], partitions: int, replication: int) -> set[str]:
        """Returns those created; not those that somebody else made meanwhile. Raises `Fatal`."""
        wanted = [NewTopic(name, num_partitions=partitions, replication_factor=replication) for name in names]
        answers = self.admin.create_topics(wanted, operation_timeout=ANSWER_S, request_timeout=ANSWER_S)
        created: set[str] = set()
        refused: list[str] = []
        for name, answer in answers.items():
            try:
                answer.result(ANSWER_S + 1)
                created.add(name)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    refused.append(sentence(f"topic {name} was not created", error.args[0]))
            except TimeoutError:
                refused.append(f"topic {name} was not created: no answer within {ANSWER_S:g} s; try again")
        if refused:
            raise Fatal("\n".join(refused))
        return created


def create(settings: Settings, partitions: int, replication: int = BROKERS_CHOOSE) -> list[str]:
    """One sentence for each topic: that it was created, or what is there already.

    A topic that exists stays as it is. Raises `DefinitionError`, `ConfigurationError`, `Fatal`.
    """
    names = list(asdict(topics_of(settings, load_usecase(settings).name)).values())
    errors: list[str] = []
    config = {
        "log_level": _CRITICAL,
        **kafka_connection(settings).admin(),
        "error_cb": lambda error: errors.append(error.str()),
    }
    try:
        # Held until every answer is here: its collection would cancel the requests. It gets no logger of
        # ours: closing waits for librdkafka's threads, and those may be waiting for the GIL to log.
        with AdminClient(config) as admin:
            cluster = _Cluster(settings.kafka.bootstrap_servers, admin, errors)
            return _create_missing(cluster, names, partitions, replication)
    except KafkaException as error:
        raise refused_properties(error) from None


def _create_missing(cluster: _Cluster, names: list[str], partitions: int, replication: int) -> list[str]:
    there = cluster.partitions(names)
    missing = [name for name in names if name not in there]
    created = cluster.create(missing, partitions, replication) if missing else set()
    raced = [name for name in missing if name not in created]
    there |= cluster.partitions(raced) if raced else {}
    return [
        f"{name}: created with {_count(partitions)}"
        if name in created
        else _describe(name, there.get(name), partitions)
        for name in names
    ]


def _describe(name: str, there: int | None, wanted: int) -> str:
    """there: None where it was made a moment ago, and not every broker knows it yet."""
    if there is None:
        return f"{name}: exists"
    if there == wanted:
        return f"{name}: exists with {_count(there)}"
    return (
        f"{name}: exists with {_count(there)}, not {wanted}, and stays as it is: "
        "another number would send keys to other partitions"
    )


def _count(partitions: int) -> str:
    return f"{partitions} partition{'' if partitions == 1 else 's'}"
