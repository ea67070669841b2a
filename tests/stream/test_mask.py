"""What people may see of a record."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from stream.pipeline.mask import MASK, masked_key, masked_value
from tests.stream.definitions import ORDER, clock, sequence


def test_personal_and_undeclared_fields_are_masked_and_the_rest_is_shown() -> None:
    value = msgspec.json.encode({**ORDER, "email": "ada@example.org", "weight": None})
    shown = msgspec.json.decode(masked_value(clock(), value))
    assert shown == {**ORDER, "buyer": MASK, "email": MASK, "weight": None}


def test_what_is_nested_in_a_declared_field_is_masked() -> None:
    value = msgspec.json.encode({"kind": {"name": "Ada"}, "shop": ["Ada"]})
    assert msgspec.json.decode(masked_value(clock(), value)) == {"kind": MASK, "shop": MASK}


def test_what_is_no_object_shows_only_its_length_and_hash() -> None:
    for value in (b"Ada Lovelace", b"\xff\xff", b'["Ada"]', b"[" * 5000):
        shown = masked_value(clock(), value)
        assert shown.startswith(f"<{len(value)} bytes, sha256 ")
        assert "Ada" not in shown
    assert masked_value(clock(), None) == "null"


def test_long_texts_and_integers_beyond_64_bits_do_not_get_through() -> None:
    shown = msgspec.json.decode(
        masked_value(clock(), b'{"shop":' + b"9" * 30 + b',"kind":"' + b"x" * 999 + b'"}')
    )
    assert shown == {"shop": MASK, "kind": "x" * 256}


def test_a_key_is_masked_where_the_entity_is_personal() -> None:
    assert masked_key(clock(), b"Ada") == MASK
    assert masked_key(sequence(), b"3") == "3"
    assert masked_key(sequence(), None) == "null"
    assert masked_key(sequence(), b"\xff").startswith("<1 bytes")


_NAMES = st.sampled_from(["buyer", "email", "kind", "price"]) | st.text(max_size=4)


@given(st.dictionaries(_NAMES, st.sampled_from(["SECRET", 5, None, ["SECRET"], {"a": "SECRET"}])))
def test_no_personal_value_ever_shows(event: dict[str, object]) -> None:
    shown = msgspec.json.decode(masked_value(clock(), msgspec.json.encode(event)))
    assert shown.keys() == event.keys()
    declared = {field.name for field in clock().fields if not field.personal}
    assert all(shown[name] in (MASK, None) for name in event if name not in declared)
    assert all("SECRET" not in str(shown[name]) for name in event if not isinstance(event[name], str))


@given(st.binary(max_size=50))
def test_any_bytes_can_be_shown(value: bytes) -> None:
    assert masked_value(clock(), value)
    assert masked_key(clock(), value)
