"""Feast's online read from Redis, by its SDK: one feature view of 18 features of one entity.

call: `get_online_features`, which gives an `OnlineResponse` of protocol buffers.
dict: its `to_dict` as well, which is how a program gets at the values.

It is given what suits it: a registry in memory that never expires, one view (each further one is read by
itself), entities as a column rather than a list of dicts, and no time to live.

What limits it: a Redis hash per entity, a serialized protocol buffer per value, each parsed and copied into
another one in Python, value by value.
"""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float64

from benchmarks.peers.reads import ENTITIES, FEATURES, Way, feature_values, serve

NAMES = [f"f{at}" for at in range(FEATURES)]
REFERENCES = [f"customers:{name}" for name in NAMES]


def main(address: str) -> None:
    """address: host:port of a Redis, into which it writes its values first."""
    with TemporaryDirectory(prefix="feast-") as name:
        store = FeatureStore(
            config=RepoConfig(
                project="bench",
                provider="local",
                registry={"path": str(Path(name) / "registry.db"), "cache_ttl_seconds": 0},
                online_store={"type": "redis", "connection_string": address},
                entity_key_serialization_version=3,
            )
        )
        customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.STRING)
        view = FeatureView(
            name="customers",
            entities=[customer],
            ttl=timedelta(0),
            schema=[Field(name=name, dtype=Float64) for name in NAMES],
            source=FileSource(path=str(Path(name) / "none.parquet"), timestamp_field="written_at"),
        )
        store.apply([customer, view])
        frame = pd.DataFrame(feature_values(), columns=NAMES)
        frame["customer_id"] = [str(at) for at in range(ENTITIES)]
        frame["written_at"] = datetime(2025, 1, 1, tzinfo=UTC)
        store.write_to_online_store("customers", frame)
        serve(ways(store))


def ways(store: FeatureStore) -> dict[str, Way]:
    def prepare(keys: object) -> dict[str, object]:
        return {"customer_id": keys}

    def read(rows: dict[str, object]) -> object:
        return store.get_online_features(features=REFERENCES, entity_rows=rows)

    def read_dict(rows: dict[str, object]) -> object:
        return store.get_online_features(features=REFERENCES, entity_rows=rows).to_dict()

    return {
        "call": Way(prepare, read, lambda found: [found.to_dict()[name] for name in NAMES]),
        "dict": Way(prepare, read_dict, lambda found: [found[name] for name in NAMES]),
    }


if __name__ == "__main__":
    main(sys.argv[1])
