"""Records as people may see them: logs and viewers of dead letters.

Only what the definition declares and does not call personal is shown, and only where it is of the declared
type: in a record whose columns slipped, a name stands where the amount should be. A field the definition
does not know may be anything, so its value is masked; its name is shown where it looks like a name of a
field. Of what is no JSON object, nothing is shown but its shape.
"""

import hashlib
import re
from typing import Any

import msgspec

from features.definition.model import Definition, Field
from features.timestamps import PATTERN
from stream.records import Headers

MASK = "***"
SHAPE_CHARACTERS_MAX = 4_096
_CHARACTERS_MAX = 256
_FIELDS_MAX = 256
_FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_TIME = re.compile(PATTERN)
_WORD = re.compile(r"(?:\w|[^\x00-\x7f])+")
_JSON_WORDS = frozenset({"true", "false", "null"})
_PLAIN_HEADERS = frozenset({"content-type", "traceparent", "tracestate"})


def masked_value(definition: Definition, value: bytes | None) -> str:
    """A record's value as JSON text without personal data.

    Of what is no JSON object, length and hash are shown, by which its owner can find it.
    """
    if value is None:
        return "null"
    data = _object(value)
    if data is None:
        return described(value)
    declared = {field.name: field for field in definition.fields}
    fields = list(data.items())[:_FIELDS_MAX]
    masked = {_name(name, name in declared): _masked(declared.get(name), field) for name, field in fields}
    return msgspec.json.encode(masked).decode()


def masked_key(definition: Definition, key: bytes | None) -> str:
    """A record's key, which is the key of the topic's entity; masked where a field of it is personal."""
    if key is None:
        return "null"
    if any(definition.field(name).personal for name in definition.topic_entity.fields):
        return MASK
    try:
        return key.decode()
    except UnicodeDecodeError:
        return described(key)


def masked_headers(headers: Headers) -> list[tuple[str, str]]:
    """The headers of a record: of those that anybody may have written, the names alone."""
    return [
        (_name(name, False), _header(value) if name in _PLAIN_HEADERS else MASK) for name, value in headers
    ]


def shape(definition: Definition, value: bytes) -> str | None:
    """A text with every word but the definition's own masked: letters as ``a``, digits as ``0``.

    None where it is no text, since then nothing tells personal data from the rest; also where it is a JSON
    object, of which `masked_value` shows more.
    """
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return None
    if _object(value) is not None or not all(c.isprintable() or c in "\t\r\n" for c in text):
        return None
    known = _JSON_WORDS.union(field.name for field in definition.fields)
    hidden = _WORD.sub(lambda found: _hidden(found.group(), known), text)
    return hidden[:SHAPE_CHARACTERS_MAX]


def described(value: bytes) -> str:
    """Length and hash."""
    return f"<{len(value)} bytes, sha256 {hashlib.sha256(value).hexdigest()[:16]}>"


def _object(value: bytes) -> dict[str, Any] | None:
    try:
        data = msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _name(name: str, declared: bool) -> str:
    return name if declared or _FIELD_NAME.fullmatch(name) else MASK


def _masked(field: Field | None, value: Any) -> Any:
    """A declared field is a single value of its type; what else stands in its place was never declared."""
    if value is None:
        return None
    if field is None or field.personal or not _is_declared(field, value):
        return MASK
    return value[:_CHARACTERS_MAX] if isinstance(value, str) else value


def _is_declared(field: Field, value: Any) -> bool:
    """Whether the value has the JSON type that the field is written in; of times, either of the two."""
    if isinstance(value, bool):
        return field.type == "bool"
    if isinstance(value, int | float):
        # JSON has larger integers than the encoder.
        return field.type in ("int64", "float64", "timestamp") and abs(value) < 2**63
    if isinstance(value, str):
        return field.type == "string" or (field.type == "timestamp" and _TIME.fullmatch(value) is not None)
    return False


def _hidden(word: str, known: frozenset[str]) -> str:
    return (
        word if word in known else "".join("0" if c.isdecimal() else "_" if c == "_" else "a" for c in word)
    )


def _header(value: bytes | None) -> str:
    return (value or b"")[:_CHARACTERS_MAX].decode(errors="replace")
