"""How every online store replaces values, and tells its life, whatever is behind it."""

from collections.abc import Callable

import pytest

from features.store import HEAD_BYTES, OnlineStore
from tests.contract.conftest import DAY_MS, EVERY_BYTE, Subject, at_once, fresh_key, lives_for


@pytest.mark.parametrize("length", [1, HEAD_BYTES - 1, HEAD_BYTES, HEAD_BYTES + 1, 5_000])
def test_a_value_seen_as_it_is_can_be_replaced(subject: Subject, length: int) -> None:
    key = fresh_key()
    seen = (EVERY_BYTE * 20)[:length]
    subject.store.append([(key, seen)], DAY_MS)
    assert subject.store.replace(key, seen, b"another", 2 * DAY_MS)
    assert subject.store.read([key]) == [b"another"]
    assert lives_for(subject, key, 2 * DAY_MS)
    subject.store.append([(key, b"+")], 2 * DAY_MS)
    assert subject.store.read([key]) == [b"another+"]


@pytest.mark.parametrize(
    "seen",
    [b"", b"a", b"b" + b"a" * 99, b"a" * (HEAD_BYTES - 1) + b"b" + b"a" * 36, b"a" * 99, b"a" * 101],
    ids=["nothing", "less", "another beginning", "another end of the head", "a shorter", "a longer"],
)
def test_a_value_that_is_not_as_seen_stays(subject: Subject, seen: bytes) -> None:
    key = fresh_key()
    subject.store.append([(key, b"a" * 100)], DAY_MS)
    assert not subject.store.replace(key, seen, b"another", 2 * DAY_MS)
    assert subject.store.read([key]) == [b"a" * 100]
    assert lives_for(subject, key, DAY_MS)


def test_what_is_not_there_counts_as_empty(subject: Subject) -> None:
    key = fresh_key()
    assert not subject.store.replace(key, b"a", b"another", DAY_MS)
    assert subject.store.read([key]) == [None]
    assert subject.store.replace(key, b"", b"another", DAY_MS)
    assert subject.store.read([key]) == [b"another"]
    assert lives_for(subject, key, DAY_MS)


def test_of_many_values_each_is_judged_by_itself(subject: Subject) -> None:
    keys = [fresh_key(str(number)) for number in range(200)]
    subject.store.append([(key, b"seen") for key in keys[:100]], DAY_MS)
    changes = [(key, b"seen" if number % 2 else b"", b"new") for number, key in enumerate(keys)]
    done = [bool(number % 2) if number < 100 else not number % 2 for number in range(200)]
    assert subject.store.replace_all(changes, DAY_MS) == done
    left = [b"seen"] * 100 + [None] * 100
    want = [b"new" if replaced else there for replaced, there in zip(done, left, strict=True)]
    assert subject.store.read(keys) == want
    assert lives_for(subject, keys[1], DAY_MS)
    assert subject.store.replace_all([], DAY_MS) == []


def test_a_value_that_expired_is_replaced_as_one_that_is_not_there(subject: Subject) -> None:
    key = fresh_key()
    subject.store.append([(key, b"1")], 20)
    while subject.store.read([key]) != [None]:
        subject.tick()
    assert subject.store.replace(key, b"", b"2", None)
    assert subject.store.read([key]) == [b"2"]
    assert subject.ttl_ms(key) is None


def test_replacing_without_a_time_to_live_leaves_the_one_there_is(subject: Subject) -> None:
    mortal, lasting = fresh_key("mortal"), fresh_key("lasting")
    subject.store.append([(mortal, b"1")], DAY_MS)
    subject.store.append([(lasting, b"1")], None)
    assert subject.store.replace(mortal, b"1", b"2", None)
    assert subject.store.replace(lasting, b"1", b"2", None)
    assert lives_for(subject, mortal, DAY_MS)
    assert subject.ttl_ms(lasting) is None


def test_of_replacements_at_once_one_succeeds_and_appends_are_never_lost(subject: Subject) -> None:
    key = fresh_key()
    subject.store.append([(key, b"seen")], DAY_MS)

    def replace(number: int) -> Callable[[OnlineStore], int]:
        return lambda store: store.replace(key, b"seen", b"new %d;" % number, DAY_MS)

    def append(store: OnlineStore) -> int:
        for _ in range(20):
            store.append([(key, b"+")], DAY_MS)
        return 0

    replaced = sum(at_once(subject, [replace(0), replace(1), replace(2), append]))
    (value,) = subject.store.read([key])
    assert value is not None
    assert value.count(b"+") == 20
    assert replaced == value.count(b"new") <= 1


def test_a_life_stays_the_same_while_nothing_happens(subject: Subject) -> None:
    life = subject.store.life()
    assert life
    subject.store.append([(fresh_key(), b"1")], DAY_MS)
    assert subject.store.life() == subject.another().life() == life
