"""The settings as frozen values, with their defaults. The text under each becomes docs/settings.md.

Units stand in the names. What several settings mean together is `stream.settings.sense`'s to judge.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, SecretStr
from pydantic_core import PydanticCustomError

TOPIC = re.compile(r"(?!\.\.?$)[A-Za-z0-9._-]{1,249}")
_DAY_MS = 86_400_000


def refusal(cause: str, mend: str) -> PydanticCustomError:
    """A mistake in our words. Braces would be read as places to fill in, so they come as context."""
    return PydanticCustomError("setting", "{cause}; {mend}", {"cause": cause, "mend": mend})


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise refusal("true or false stands where a number is expected", "write a number")
    return value


def _topic(name: str) -> str:
    if not TOPIC.fullmatch(name):
        raise refusal(
            f"{name!r} cannot name a topic", "use letters, digits, '.', '_' and '-', at most 249 of them"
        )
    return name


def _servers(text: str) -> str:
    for server in text.split(","):
        host, colon, port = server.strip().rpartition(":")
        if not host or not colon or not port.isdecimal() or not 0 < int(port) < 65_536:
            raise refusal(f"{server.strip()!r} is not HOST:PORT", "write HOST:PORT, or several with commas")
    return text


def _property(value: Any) -> Any:
    """YAML reads numbers and truth values where librdkafka wants their text."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


def _files(value: Any) -> Any:
    return [text.strip() for text in value.split(",") if text.strip()] if isinstance(value, str) else value


def _unchangeable(properties: Mapping[str, SecretStr]) -> Mapping[str, SecretStr]:
    return MappingProxyType(dict(properties))


Count = Annotated[int, BeforeValidator(_no_bool), Field(ge=1)]
Whole = Annotated[int, BeforeValidator(_no_bool), Field(ge=0)]
Number = Annotated[int, BeforeValidator(_no_bool)]
Share = Annotated[float, BeforeValidator(_no_bool), Field(ge=0, le=1)]
HeartbeatMs = Annotated[int, BeforeValidator(_no_bool), Field(ge=500)]
TransactionMs = Annotated[int, BeforeValidator(_no_bool), Field(ge=1_000, le=900_000)]
Port = Annotated[int, BeforeValidator(_no_bool), Field(ge=0, le=65_535)]
Name = Annotated[str, Field(min_length=1)]
WorkerName = Annotated[str, Field(min_length=1, max_length=249)]
TopicName = Annotated[str, AfterValidator(_topic)]
Files = Annotated[tuple[Path, ...], BeforeValidator(_files)]
Properties = Annotated[
    Mapping[str, Annotated[SecretStr, BeforeValidator(_property)]], AfterValidator(_unchangeable)
]


class Section(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
        validate_default=True,
        allow_inf_nan=False,
    )


class Topics(Section):
    events: TopicName | None = None
    """What is scored; `<use case>.events` when not set."""
    labels: TopicName | None = None
    """What became of events; `<use case>.labels` when not set."""
    predictions: TopicName | None = None
    """Where predictions go; `<use case>.predictions` when not set."""
    deadletters: TopicName | None = None
    """Where records go that cannot be read; `<use case>.deadletters` when not set."""


class Kafka(Section):
    bootstrap_servers: Annotated[str, AfterValidator(_servers)] = "localhost:9092"
    """`HOST:PORT` of brokers to ask first, separated by commas."""
    properties: Properties = Field(default_factory=dict, repr=False)
    """librdkafka's own properties, by their names: `kafka.properties.sasl.mechanism`. Those that the worker
    decides are refused, each with what to do instead."""
    properties_file: Path | None = None
    """A Java-style `.properties` file of more of them; `kafka.properties` goes before it."""
    group: Name | None = None
    """The consumer group of score workers; `<use case>.score` when not set."""
    materialize_group: Name | None = None
    """How the consumer groups of materialize workers begin; `<use case>.materialize` when not set. The first
    twelve digits of the state fingerprint follow, so that every state reads the topics for itself."""
    start: Literal["earliest", "latest"] = "earliest"
    """Where a group begins that has never committed."""
    topics: Topics = Topics()


class Breaker(Section):
    failures_max: Count = 3
    """So many failures in a row, and Redis is left alone."""
    rest_ms: Count = 1_000
    """How long it is left alone before one request tries it again."""


class Redis(Section):
    url: SecretStr = SecretStr("redis://localhost:6379/0")
    """One server: `redis://[user[:password]@]host[:port][/db]` or `unix:///path`. A cluster, by some of its
    nodes: `redis+cluster://[user[:password]@]host:port,host:port`. Sentinels, and their name for the master:
    `redis+sentinel://[user[:password]@]host:port,host:port/name[/db]`. With TLS: `rediss` for `redis`."""
    username: Name | None = None
    """Goes before the URL's. A score worker's user needs `HELLO`, `CLIENT` and `MGET`, a materialize worker's
    also `GET`, `SET`, `SETNX`, `APPEND`, `PEXPIRE`, `STRLEN`, `GETRANGE`, `EVAL`, `EVALSHA` and `INFO`; in a
    cluster both need `GET`, `CLUSTER SLOTS` and `ASKING`, behind sentinels `ROLE`."""
    password: SecretStr | None = None
    """Goes before the URL's. Better in the environment than in a file or on a command line."""
    sentinel_username: Name | None = None
    """For the sentinels themselves, which have users of their own."""
    sentinel_password: SecretStr | None = None
    """For the sentinels themselves; none is sent when not set."""
    ca_file: Path | None = None
    """PEM file of who may vouch for the servers; the system's authorities when not set. A certificate must
    name its server as `redis.url` does, or as the cluster or the sentinels do: by address, unless they are
    told to announce host names."""
    cert_file: Path | None = None
    """PEM file with the client's certificate."""
    key_file: Path | None = None
    """PEM file with the certificate's private key."""
    deadline_ms: Count = 250
    """How long a score worker waits for the rows of a batch before it goes on without them."""
    connect_timeout_ms: Count = 1_000
    """How long making a connection may take, to each server that is tried."""
    write_timeout_ms: Count = 5_000
    """How long a materialize worker waits for one write."""
    breaker: Breaker = Breaker()


class Batch(Section):
    events_max: Count = 2_000
    """The most events in one batch; workers take fewer when there is no lag, and up to four batches at a time
    when there is much."""
    wait_ms: Whole = 10
    """How long a poll waits for an event; a batch is what is there when one is."""
    in_flight_max: Count = 16
    """The most batches whose predictions are not yet acknowledged."""


class Commit(Section):
    interval_ms: Count = 200
    """How often offsets are committed, after what they stand for was acknowledged; in `exactly_once`
    `delivery.transaction_ms` takes its place."""


class Delivery(Section):
    mode: Literal["at_least_once", "exactly_once"] = "at_least_once"
    """`exactly_once` puts outputs, dead letters and offsets into transactions: whoever reads with
    `isolation.level=read_committed` sees each prediction once. `at_least_once` may double some after a
    failure; readers keep the first of an event id."""
    transaction_ms: Count = 100
    """About how long a transaction collects predictions; readers see them that much later."""
    transaction_timeout_ms: TransactionMs = 10_000
    """Kafka gives up a transaction that is open for so long: what a killed worker that nobody starts again
    left open holds up readers no longer. At most the brokers' `transaction.max.timeout.ms`."""
    worker: WorkerName | None = None
    """Names this worker among those of its group, the same after every start: a worker fences whoever went
    before it by this name. `<host name>-<http.port>` when not set."""


class Freshness(Section):
    limit_ms: Count = 600_000
    """How far the rows may be behind an event before its prediction says so."""
    heartbeat_ms: HeartbeatMs = 1_000
    """How often a materialize worker says how far it is when nothing else makes it, and asks Redis what it
    holds. For three of these a worker that died counts as alive. At least 500: logs' ends are asked for
    every second."""


class Overlay(Section):
    bytes_max: Count = 64_000_000
    """The most memory for events that are scored and not yet materialized."""


class Rejects(Section):
    share_max: Share = 0.1
    """A larger share of rejected records stops the worker."""
    window: Count = 10_000
    """Of how many records, the last ones, the share is taken."""


class Http(Section):
    host: Name = "0.0.0.0"  # noqa: S104  probes and scrapes come from other machines; nothing here is secret
    """The address that health and metrics are served on."""
    port: Port = 9_400
    """Its port; 0 takes any free one and logs which."""


class Watchdog(Section):
    stall_s: Count = 60
    """No progress for so long while there is lag, and the worker writes down its stacks and exits."""


class Reasons(Section):
    top: Whole = 3
    """How many reason codes a prediction carries at most; 0 for none."""


class Model(Section):
    compiled: Literal["off", "cached", "auto"] = "off"
    """`cached`: the champion answers by machine code that `riverrun models compile` made. `auto`: and where
    there is none, it is made beside the worker. Both need the extra `compiled`; scores stay the same to the
    bit. See models.md."""
    cache: Path | None = None
    """The directory of compiled models: the worker's user's or root's, writable by nobody else;
    `riverrun/compiled` in the user's cache directory when not set."""


class Materialize(Section):
    complete_since: Number | None = None
    """Event time (ms since the epoch, or the sequence number) from which on the store holds every event;
    the first event that is materialized when not set."""
    history: Files = ()
    """Parquet files with events (and labels) that Kafka has no more, in YAML as a list, else with commas: a
    store that comes up empty is filled from them and from the topics."""
    rewind_s: Whole = 10
    """When Redis was started anew, or another node took over, so much time before is materialized again:
    more than a node may lose of its last writes."""


class Log(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    """Lines below this level are left out."""
    format: Literal["json", "console"] = "json"
    """One JSON object a line, or lines for people."""


class Settings(Section):
    usecase: Path = Path("usecase.yaml")
    """The use case file: for training, for names of topics, and until a bundle is deployed."""
    models: Path | None = None
    """The directory of bundles and `deployment.json`; without it the rules answer."""
    kafka: Kafka = Field(default_factory=Kafka)
    redis: Redis = Redis()
    batch: Batch = Batch()
    commit: Commit = Commit()
    delivery: Delivery = Delivery()
    freshness: Freshness = Freshness()
    overlay: Overlay = Overlay()
    rejects: Rejects = Rejects()
    future_limit_ms: Whole = 3_600_000
    """An event whose time is so far ahead of its record's timestamp is rejected."""
    allowed_lag_ms: Whole = 7 * _DAY_MS
    """Rows in Redis outlive what windows need by this, so that a worker that lags still finds them."""
    http: Http = Http()
    drain_s: Count = 25
    """How long a worker that was told to stop may take to finish what it has."""
    watchdog: Watchdog = Watchdog()
    reasons: Reasons = Reasons()
    model: Model = Model()
    materialize: Materialize = Materialize()
    log: Log = Log()
    _origins: Mapping[str, str] = PrivateAttr(default_factory=dict)

    def origin(self, key: str) -> str:
        """Where the value in force came from: ``riverrun.yaml:7``, ``RIVERRUN_…``, a flag, or ``default``."""
        return self._origins.get(key, "default")

    def came_from(self, origins: Mapping[str, str]) -> "Settings":
        """These settings, with where their values came from; by key."""
        settings = self.model_copy()
        settings._origins = MappingProxyType(dict(origins))
        return settings
