"""Kafka's behaviour in one process: logs, groups that rebalance, commits. For tests and experiments.

Nothing happens by itself: members learn of rebalances in `poll`, as with Kafka, and acknowledgements
come with the sink's `poll` and `flush` unless the broker is `down`.
"""

from stream.transport.memory.broker import MemoryBroker, StoredRecord
from stream.transport.memory.sink import MemorySink, MemoryTransactions
from stream.transport.memory.source import MemorySource

__all__ = ["MemoryBroker", "MemorySink", "MemorySource", "MemoryTransactions", "StoredRecord"]
