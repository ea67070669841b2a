"""Records whose acknowledgement did not say where they stand are found in the log."""

from collections.abc import Callable

from confluent_kafka import Producer

from tests.chaos.harness.books import Books, Planned, Sent
from tests.chaos.harness.placing import Unplaced, place
from tests.contract.clusters import KafkaCluster, create_with_admin


def planned(partition: int, value: bytes) -> Planned:
    return Planned("event", partition, b"k", value, [], None, None)


def test_they_are_found_beside_what_the_books_know_and_a_missing_one_is_told(
    kafka: str, fresh_name: Callable[[str], str]
) -> None:
    topic = fresh_name("events")
    cluster = KafkaCluster(kafka, create_with_admin(kafka))
    cluster.create(topic)
    producer = Producer({"bootstrap.servers": kafka})
    for partition, value in ((0, b"a"), (0, b"twice"), (0, b"twice"), (1, b"a"), (1, b"b")):
        producer.produce(topic, value, b"k", partition)
    assert producer.flush(30) == 0
    books = Books()
    for partition, offset, value, acked_ms in ((0, 0, b"a", 10), (0, 1, b"twice", 20), (1, 0, b"a", 30)):
        books.note(Sent.of(planned(partition, value), offset, acked_ms, is_late=False))
    again = Unplaced(planned(0, b"twice"), 25, is_late=False)
    other = Unplaced(planned(1, b"b"), 5, is_late=True)
    nowhere = Unplaced(planned(1, b"c"), 6, is_late=False)
    assert place(kafka, topic, [again, other, nowhere], books) == [nowhere]
    assert [one.position for one in books.in_order] == [(1, 1), (0, 0), (0, 1), (0, 2), (1, 0)]
    found = books.get((1, 1))
    assert found is not None
    assert found.is_late
    cluster.clients.close()
