"""A Java-style properties file says what Java would read from it."""

import string

from hypothesis import given
from hypothesis import strategies as st

from stream.transport.kafka import parse_properties

TEXT = st.text(st.characters(exclude_categories=["Cs"], min_codepoint=1), max_size=20)
KEYS = st.text(string.ascii_letters + ".=: #!\\é", min_size=1, max_size=12)


def escaped(text: str) -> str:
    r"""As `java.util.Properties.store` writes: everything unusual as \uXXXX."""
    out = []
    for unit in memoryview(text.encode("utf-16-le")).cast("H"):
        plain = unit < 128 and chr(unit) in string.ascii_letters + string.digits + "._-/"
        out.append(chr(unit) if plain else f"\\u{unit:04x}")
    return "".join(out)


@given(st.dictionaries(KEYS, TEXT, max_size=5))
def test_what_was_escaped_comes_back(properties: dict[str, str]) -> None:
    text = "\n".join(f"{escaped(key)}={escaped(value)}" for key, value in properties.items())
    found = {key: value for key, (value, _) in parse_properties(text).items()}
    assert found == properties


@given(TEXT)
def test_any_text_can_be_read(text: str) -> None:
    for value, line in parse_properties(text).values():
        assert isinstance(value, str)
        assert line >= 1


def test_separators_comments_and_continued_lines_are_java_s() -> None:
    text = "# a\n ! b\n\nssl.ca.location = /ca.pem \nb:2\nc 3\nd\nlong=one, \\\n    two\\\\\nlast=\\\n"
    assert parse_properties(text) == {
        "ssl.ca.location": ("/ca.pem ", 4),
        "b": ("2", 5),
        "c": ("3", 6),
        "d": ("", 7),
        "long": ("one, two\\", 8),
        "last": ("", 10),
    }
