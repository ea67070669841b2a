"""How far the workers are: the offsets that their groups have committed."""

from collections.abc import Sequence
from dataclasses import dataclass

from confluent_kafka import Consumer, TopicPartition

from stream.demo.credit import Credit
from stream.transport.kafka.properties import KafkaConnection


@dataclass(frozen=True, slots=True)
class Lane:
    """One topic that the demo writes, who must read it, and its account."""

    topic: str
    partitions: int
    groups: tuple[str, ...]
    credit: Credit

    @classmethod
    def of(cls, topic: str, partitions: int, groups: tuple[str, ...]) -> "Lane":
        return cls(topic, partitions, groups, Credit(range(partitions), groups))


class Commits:
    """Reads the offsets of groups without being a member of any."""

    def __init__(self, connection: KafkaConnection, lanes: Sequence[Lane]) -> None:
        self._lanes = lanes
        groups = {group for lane in lanes for group in lane.groups}
        # Never subscribed, so nothing is ever assigned to it and no group rebalances: it only asks.
        self._consumers = {group: Consumer(connection.consumer(group)) for group in groups}

    def refresh(self) -> None:
        """Tell every lane's account how far its groups are. Raises `KafkaException`."""
        for lane in self._lanes:
            wanted = [TopicPartition(lane.topic, p) for p in range(lane.partitions)]
            for group in lane.groups:
                for at in self._consumers[group].committed(wanted, timeout=10):
                    if at.error is None:
                        lane.credit.committed(group, at.partition, at.offset)

    def close(self) -> None:
        for consumer in self._consumers.values():
            consumer.close()
