"""What we are compared with does the same job: its scores are LightGBM's for the same events."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import lightgbm
import msgspec
import numpy as np
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic  # the package does not export it to type checkers
from redis import Redis

from benchmarks.peers.setup import NoEnvironment, interpreter, program
from features.arrays import Floats, Ints
from tests.conftest import lacking
from tools.processes import end, last_lines, spawn
from tools.redis_server import RedisServer

PARTITIONS = 4
EACH = 1_000
"""Events of a partition: one window of those peers that wait until windows are full."""
CUSTOMERS, TERMINALS = 97, 211
WITHOUT_ROW = 5
"""Customers from this number down have no row."""
VALUES = 10
PATIENCE_S = 300.0
IDIOMS = [
    ("quix", "ordinary"),
    ("quix", "windows"),
    ("quix", "best"),
    ("faust", "ordinary"),
    ("faust", "best"),
    ("bytewax", "ordinary"),
    ("bytewax", "collect"),
    ("bytewax", "best"),
    ("aiokafka", "ordinary"),
    ("aiokafka", "best"),
]

pytestmark = pytest.mark.peers


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small one, in LightGBM's text format."""
    draw = np.random.default_rng(3)
    features = draw.normal(size=(2_000, 2 * VALUES))
    features[draw.random(features.shape) < 0.1] = np.nan
    labels = (np.nan_to_num(features[:, 0] * features[:, VALUES]) > 0.2).astype(int)
    parameters = {"objective": "binary", "num_leaves": 31, "verbosity": -1, "num_threads": 1}
    path = tmp_path_factory.mktemp("model") / "model.txt"
    lightgbm.train(parameters, lightgbm.Dataset(features, labels), 20).save_model(path)
    return path


@pytest.mark.parametrize("engine", ["lightgbm", "lleaves"])
@pytest.mark.parametrize(("name", "idiom"), IDIOMS)
def test_every_event_is_scored_once_with_its_key_and_as_lightgbm_scores_it(
    name: str,
    idiom: str,
    engine: str,
    model: Path,
    kafka: str,
    own_redis: RedisServer,
    fresh_name: Callable[[str], str],
    tmp_path: Path,
) -> None:
    try:
        python = interpreter(name)
    except NoEnvironment as error:
        lacking(name, str(error))
    customer, terminal = write_rows(own_redis.url)
    source, sink = fresh_name("events"), fresh_name("scores")
    of_customer, of_terminal = fill(kafka, source, sink)
    command: list[str | Path] = [python, program(name), "--bootstrap", kafka, "--redis", own_redis.url]
    command += ["--source", source, "--sink", sink, "--group", fresh_name(name), "--model", model]
    command += ["--engine", engine, "--idiom", idiom, "--state", tmp_path / "state"]
    (tmp_path / "state").mkdir()
    peer = spawn(command, tmp_path / "peer.log")
    try:
        found = read(kafka, sink, PARTITIONS * EACH)
        assert peer.poll() is None, last_lines(tmp_path / "peer.log", 40)
    finally:
        end(peer, signal.SIGTERM)
    assert len(found) == PARTITIONS * EACH, last_lines(tmp_path / "peer.log", 40)
    scores = {scored["event_id"]: scored["score"] for _, scored in found}
    assert {scored["event_id"]: key for key, scored in found} == {
        str(at): str(number).encode() for at, number in enumerate(of_customer)
    }
    features = np.hstack([customer[of_customer], terminal[of_terminal]])
    expected = np.asarray(lightgbm.Booster(model_file=model).predict(features, num_threads=1))
    given = np.array([scores[str(at)] for at in range(len(expected))])
    if engine == "lightgbm":
        assert np.array_equal(given, expected)
    else:
        np.testing.assert_allclose(given, expected, rtol=1e-12)


def write_rows(url: str) -> tuple[Floats, Floats]:
    """Of customers and of terminals, shape (keys, `VALUES`); NaN where there is no row."""
    draw = np.random.default_rng(7)
    customer, terminal = draw.normal(size=(CUSTOMERS, VALUES)), draw.normal(size=(TERMINALS, VALUES))
    customer[:WITHOUT_ROW] = np.nan
    rows = {f"customer:{at}": row.tobytes() for at, row in enumerate(customer) if at >= WITHOUT_ROW}
    rows |= {f"terminal:{at}": row.tobytes() for at, row in enumerate(terminal)}
    with Redis.from_url(url) as client:
        client.mset(rows)
    return customer, terminal


def fill(kafka: str, source: str, sink: str) -> tuple[Ints, Ints]:
    """As many events for each partition; the customer and the terminal of each."""
    draw = np.random.default_rng(11)
    count = PARTITIONS * EACH
    of_customer, of_terminal = draw.integers(0, CUSTOMERS, count), draw.integers(0, TERMINALS, count)
    admin = AdminClient({"bootstrap.servers": kafka})
    for made in admin.create_topics([NewTopic(topic, PARTITIONS, 1) for topic in (source, sink)]).values():
        made.result(timeout=30)
    producer = Producer({"bootstrap.servers": kafka})
    for at in range(count):
        event = {
            "transaction_id": str(at),
            "event_time": "2025-01-01T01:03:33Z",
            "customer_id": str(of_customer[at]),
            "terminal_id": str(of_terminal[at]),
            "amount": 40.39,
            "merchant": 'with a "quote" and an ü',
        }
        key = str(of_customer[at]).encode()
        producer.produce(source, msgspec.json.encode(event), key, partition=at % PARTITIONS)
    assert producer.flush(30) == 0
    return of_customer, of_terminal


def read(kafka: str, sink: str, count: int) -> list[tuple[bytes | None, dict[str, object]]]:
    """What was written: `count` records, and those that come in the second after."""
    found: list[tuple[bytes | None, dict[str, object]]] = []
    consumer = Consumer(
        {"bootstrap.servers": kafka, "group.id": f"{sink}.test", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([sink])
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        messages = consumer.consume(1_000, 1.0)
        found += [(message.key(), msgspec.json.decode(message.value() or b"")) for message in messages]
        if len(found) >= count and not messages:
            break
    consumer.close()
    return found
