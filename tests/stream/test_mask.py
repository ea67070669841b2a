"""What people may see of a record."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from stream.pipeline.mask import MASK, masked_headers, masked_key, masked_value, shape
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


def test_a_value_of_another_type_than_declared_is_masked() -> None:
    """As when columns slip: a name stands where the price should be."""
    slipped = {"price": "Ada", "shop": "Ada", "gift": 7, "kind": 7, "placed_at": "Ada", "weight": True}
    shown = msgspec.json.decode(masked_value(clock(), msgspec.json.encode(slipped)))
    assert shown == dict.fromkeys(slipped, MASK)
    right = {"placed_at": "2024-05-01T10:00:00Z", "promised_at": 5, "price": 1, "weight": 2.5, "gift": True}
    assert msgspec.json.decode(masked_value(clock(), msgspec.json.encode(right))) == right


def test_a_name_that_is_no_fields_name_is_masked_and_a_misspelt_one_is_shown() -> None:
    shown = msgspec.json.decode(
        masked_value(clock(), b'{"ada@example.org": 1, "Ada Lovelace": 2, "pirce": 3}')
    )
    assert shown == {MASK: MASK, "pirce": MASK}


def test_of_a_text_that_is_no_object_the_shape_is_shown_and_no_word_that_the_definition_does_not_know() -> (
    None
):
    assert shape(clock(), b'{"buyer": "Ada Lovelace", "price": 12.50, "gift": tr') == (
        '{"buyer": "aaa aaaaaaaa", "price": 00.00, "gift": aa'
    )
    assert shape(clock(), "Žofie;आदि;1815".encode()) == "aaaaa;aaa;0000"
    assert shape(clock(), b'["Ada", null]') == '["aaa", null]'
    assert shape(clock(), b'{"buyer": "Ada"}') is None, "an object is shown field by field"


def test_of_what_is_no_text_nothing_is_shown() -> None:
    assert shape(clock(), b"\x00\x00\x00\x00\x2aAda") is None
    assert shape(clock(), b"Ada\xff") is None


def test_only_headers_that_say_nothing_of_people_are_shown() -> None:
    headers = [("traceparent", b"00-1"), ("user", b"Ada"), ("ada@example.org", b""), ("content-type", None)]
    assert masked_headers(headers) == [
        ("traceparent", "00-1"), ("user", MASK), (MASK, MASK), ("content-type", ""),
    ]  # fmt: skip


def test_a_key_is_masked_where_the_entity_is_personal() -> None:
    assert masked_key(clock(), b"Ada") == MASK
    assert masked_key(sequence(), b"3") == "3"
    assert masked_key(sequence(), None) == "null"
    assert masked_key(sequence(), b"\xff").startswith("<1 bytes")


_NAMES = st.sampled_from(["buyer", "email", "kind", "price"]) | st.text(max_size=4)


@given(st.dictionaries(_NAMES, st.sampled_from(["SECRET", 5, None, ["SECRET"], {"a": "SECRET"}])))
def test_no_personal_value_ever_shows(event: dict[str, object]) -> None:
    shown = msgspec.json.decode(masked_value(clock(), msgspec.json.encode(event)))
    declared = {field.name for field in clock().fields if not field.personal}
    assert all(shown.get(name, MASK) in (MASK, None) for name in event if name not in declared)
    assert {name for name, value in shown.items() if "SECRET" in str(value)} <= {"kind"}


@given(st.text())
def test_no_letter_or_digit_of_a_text_shows(text: str) -> None:
    shown = shape(clock(), text.encode())
    known = {field.name for field in clock().fields} | {"true", "false", "null"}
    for word in (shown or "").replace("_", " ").split():
        assert word in known or set(word) <= {"a", "0", *"!\"#$%&'()*+,-./:;<=>?@[\\]^`{|}~"}


@given(st.binary(max_size=50))
def test_any_bytes_can_be_shown(value: bytes) -> None:
    assert masked_value(clock(), value)
    assert masked_key(clock(), value)
