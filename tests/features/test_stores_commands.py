"""Commands packed by the thousand are what hiredis packs one by one."""

from hypothesis import given
from hypothesis import strategies as st

from features.stores.redis_commands import Commands, appends, commands, expiries, gets, mget, pack

KEYS = st.lists(st.binary(max_size=60), unique=True, max_size=8)
VALUES = st.dictionaries(st.binary(max_size=60), st.binary(max_size=300), max_size=8)


def whole(packed: Commands) -> bytes:
    return b"".join(request for request, _ in packed.packed(1_000_000))


@given(VALUES, st.integers(1, 10**15))
def test_many_commands_are_the_single_ones_one_after_the_other(
    values: dict[bytes, bytes], ttl_ms: int
) -> None:
    appended = appends(values)
    assert whole(appended) == b"".join(pack("APPEND", *pair) for pair in values.items())
    renewed = expiries(list(values), ttl_ms)
    assert whole(renewed) == b"".join(pack("PEXPIRE", key, ttl_ms) for key in values)
    assert whole(appended + renewed) == whole(appended) + whole(renewed)
    assert whole(gets(list(values))) == b"".join(pack("GET", key) for key in values)
    assert len(appended + renewed) == 2 * len(values)
    assert mget(list(values)) == pack("MGET", *values)


@given(st.lists(st.integers(0, 10_000), max_size=3))
def test_lengths_never_met_before_are_packed_as_well(lengths: list[int]) -> None:
    values = {b"k%d" % n + b"x" * n: b"v" * (n + at) for at, n in enumerate(lengths)}
    assert whole(appends(values)) == b"".join(pack("APPEND", *pair) for pair in values.items())


@given(KEYS, st.data())
def test_those_taken_are_the_ones_asked_for_in_that_order(keys: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.permutations(range(len(keys))))[: data.draw(st.integers(0, len(keys)))]
    taken = gets(keys).take(index)
    assert list(taken.keys) == [keys[at] for at in index]
    assert whole(taken) == b"".join(pack("GET", keys[at]) for at in index)
    asking = pack("ASKING")
    assert whole(taken.each_after(asking)) == b"".join(asking + pack("GET", keys[at]) for at in index)


@given(VALUES, st.integers(20, 1_500))
def test_requests_are_bounded_and_end_between_commands(values: dict[bytes, bytes], bytes_max: int) -> None:
    single = [pack("APPEND", *pair) for pair in values.items()]
    requests = list(appends(values).packed(bytes_max))
    assert b"".join(request for request, _ in requests) == b"".join(single)
    assert all(count == 1 or len(request) <= bytes_max for request, count in requests)
    for request, count in requests:
        assert request == b"".join(single[:count])
        assert count
        del single[:count]
    assert not single


def test_commands_packed_before_keep_their_key() -> None:
    packed = gets([b"other"]) + commands(b"key", pack("SETNX", b"key", b"1"), pack("GET", b"key"))
    assert packed.keys == [b"other", b"key", b"key"]
    assert whole(packed.take([2, 0])) == pack("GET", b"key") + pack("GET", b"other")
