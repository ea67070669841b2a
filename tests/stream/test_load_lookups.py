"""Lookups from a file into the online store."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.lookup.codec import decode_lookups, encode_lookups, lookup_prefix
from features.lookup.table import LookupTableError
from features.store import StoreUnavailable
from features.stores.memory import MemoryStore
from stream.workers import load_lookups as module
from stream.workers.load_lookups import AHEAD_MS, Loaded, load_file
from tests.features.lookup_cases import CUSTOMER, DEFINITION, NOW_MS

Row = tuple[str, int, float]
"""(customer, written_at, credit limit)"""


class Contested(MemoryStore):
    """Another writer is always faster, so many times."""

    def __init__(self, others: Sequence[bytes]) -> None:
        super().__init__(lambda: NOW_MS)
        self.others = list(others)

    def replace(self, key: bytes, seen: bytes, value: bytes, ttl_ms: int | None) -> bool:
        if self.others:
            super().replace(key, seen, self.others.pop(0), None)
        return super().replace(key, seen, value, ttl_ms)


def file_of(tmp_path: Path, *rows: Row, **columns: Any) -> Path:
    """columns: further ones, or instead of those; None leaves one out."""
    names, times, limits = zip(*rows, strict=True)
    all_columns = {
        "customer": list(names),
        "written_at": list(times),
        "credit_limit": list(limits),
        "segment": ["gold"] * len(rows),
        "born": [1990] * len(rows),
    } | columns
    path = tmp_path / "customers.parquet"
    pq.write_table(pa.table({name: held for name, held in all_columns.items() if held is not None}), path)
    return path


def packed(written_at: int, limit: float) -> bytes:
    return encode_lookups(CUSTOMER, np.array([written_at]), np.array([[limit, 7.0, 1990.0]]))[0]


def load(store: MemoryStore, file: Path, ttl_ms: int | None = None) -> Loaded:
    def watch(_: int) -> AbstractContextManager[Callable[[int], None]]:
        return nullcontext(lambda _: None)

    return load_file(store, DEFINITION, "customer", file, ttl_ms, NOW_MS, watch)


def limit_of(store: MemoryStore, customer: str) -> float:
    value = store.read([lookup_prefix("cards", "customer") + customer.encode()])
    found = decode_lookups(CUSTOMER, value)
    assert found.found[0]
    return float(found.values[0, 0])


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(lambda: NOW_MS)


def test_every_row_of_a_file_is_written_however_it_is_cut(
    store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH_ROWS", 7)
    totals, done = list[int](), list[int]()

    def watch(total: int) -> AbstractContextManager[Callable[[int], None]]:
        totals.append(total)
        return nullcontext(done.append)

    file = file_of(tmp_path, *((f"c{n}", NOW_MS, float(n)) for n in range(20)))
    assert load_file(store, DEFINITION, "customer", file, None, NOW_MS, watch) == Loaded(20, 0)
    assert (totals, done) == ([20], [7, 7, 6])
    assert [limit_of(store, f"c{n}") for n in range(20)] == list(range(20))


def test_the_newest_value_wins_in_whatever_order_files_are_loaded(store: MemoryStore, tmp_path: Path) -> None:
    assert load(store, file_of(tmp_path, ("ann", 6, 2.0), ("bob", 4, 2.0))) == Loaded(2, 0)
    assert load(store, file_of(tmp_path, ("ann", 5, 1.0), ("bob", 5, 1.0))) == Loaded(1, 1)
    assert (limit_of(store, "ann"), limit_of(store, "bob")) == (2.0, 1.0)


@pytest.mark.parametrize("batch_rows", [1, 10])
def test_of_a_key_that_occurs_twice_the_newest_counts_and_of_equals_the_last(
    store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_rows: int
) -> None:
    monkeypatch.setattr(module, "BATCH_ROWS", batch_rows)
    rows: list[Row] = [("ann", 6, 1.0), ("ann", 5, 2.0), ("bob", 5, 3.0), ("bob", 5, 4.0)]
    load(store, file_of(tmp_path, *rows))
    assert (limit_of(store, "ann"), limit_of(store, "bob")) == (1.0, 4.0)


def test_loading_a_file_again_changes_nothing(store: MemoryStore, tmp_path: Path) -> None:
    file = file_of(tmp_path, ("ann", 5, 1.0), ("bob", 6, 2.0))
    load(store, file)
    load(store, file)
    assert (limit_of(store, "ann"), limit_of(store, "bob")) == (1.0, 2.0)


def test_rows_that_do_not_say_when_they_were_written_are_of_now(store: MemoryStore, tmp_path: Path) -> None:
    load(store, file_of(tmp_path, ("ann", NOW_MS - 1, 1.0)))
    load(store, file_of(tmp_path, ("ann", 0, 2.0), written_at=None))
    assert limit_of(store, "ann") == 2.0
    (value,) = store.read([b"rr:cards:lookup:customer:ann"])
    assert decode_lookups(CUSTOMER, [value]).written_at.tolist() == [NOW_MS]


@pytest.mark.parametrize(
    "stored",
    [
        b"?",
        b'{"credit_limit": 3}',
        b'{"credit_limit": 3, "written_at": 4}',
        packed(NOW_MS + AHEAD_MS + 1, 3.0),
    ],
)
def test_what_is_unreadable_undated_or_dated_far_ahead_keeps_nothing_out(
    store: MemoryStore, tmp_path: Path, stored: bytes
) -> None:
    store.append([(b"rr:cards:lookup:customer:ann", stored)], None)
    assert load(store, file_of(tmp_path, ("ann", 5, 1.0))) == Loaded(1, 0)
    assert limit_of(store, "ann") == 1.0


def test_a_newer_json_value_stays(store: MemoryStore, tmp_path: Path) -> None:
    store.append([(b"rr:cards:lookup:customer:ann", b'{"credit_limit": 3, "written_at": 6}')], None)
    assert load(store, file_of(tmp_path, ("ann", 5, 1.0))) == Loaded(0, 1)
    assert limit_of(store, "ann") == 3.0


def test_a_value_that_another_writes_meanwhile_is_overwritten_only_if_it_is_older(tmp_path: Path) -> None:
    newer = Contested([packed(6, 3.0)])
    assert load(newer, file_of(tmp_path, ("ann", 5, 1.0))) == Loaded(0, 1)
    assert limit_of(newer, "ann") == 3.0
    older = Contested([packed(4, 3.0), packed(3, 4.0)])
    assert load(older, file_of(tmp_path, ("ann", 5, 1.0))) == Loaded(1, 0)
    assert limit_of(older, "ann") == 1.0


def test_a_key_that_others_never_leave_alone_is_given_up(tmp_path: Path) -> None:
    restless = Contested([packed(4, float(n)) for n in range(1000)])
    with pytest.raises(StoreUnavailable, match="others keep writing 1 of the keys"):
        load(restless, file_of(tmp_path, ("ann", 5, 1.0)))


def test_values_expire_when_asked_to(tmp_path: Path) -> None:
    now = [NOW_MS]
    store = MemoryStore(lambda: now[0])
    load(store, file_of(tmp_path, ("ann", 5, 1.0)), ttl_ms=1_000)
    now[0] += 999
    assert limit_of(store, "ann") == 1.0
    now[0] += 1
    assert store.read([b"rr:cards:lookup:customer:ann"]) == [None]


def test_a_mistake_is_named_with_file_column_and_row_of_the_file(
    store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH_ROWS", 2)
    rows: list[Row] = [("ann", 1, 1.0), ("bob", 1, 1.0), ("eve", 1, 1.0), ("joe", NOW_MS + AHEAD_MS + 1, 1.0)]
    with pytest.raises(LookupTableError, match=r"customers\.parquet: column written_at: row 3 .* hour ahead"):
        load(store, file_of(tmp_path, *rows))
    with pytest.raises(LookupTableError, match=r"parquet: column born: row 2 \('old'\) is no double"):
        load(store, file_of(tmp_path, *rows[:3], born=["1", "2", "old"]))
    with pytest.raises(LookupTableError, match=r"parquet: the table lacks the columns born; "):
        load(store, file_of(tmp_path, *rows, born=None))


def test_what_is_no_parquet_file_is_named(store: MemoryStore, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("customer,born\n")
    with pytest.raises(LookupTableError, match="text is not a parquet file"):
        load(store, tmp_path / "text")
    with pytest.raises(LookupTableError, match="none cannot be read: No such file"):
        load(store, tmp_path / "none")
