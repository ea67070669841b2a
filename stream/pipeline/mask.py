"""Records as people may see them: logs and viewers of dead letters.

Only what the definition declares and does not call personal is shown. A field it does not know may be
anything, so its value is masked as well; its name is not.
"""

import hashlib
from typing import Any

import msgspec

from features.definition.model import Definition

MASK = "***"
_CHARACTERS_MAX = 256
_FIELDS_MAX = 256


def masked_value(definition: Definition, value: bytes | None) -> str:
    """A record's value as JSON text without personal data.

    Of what is no JSON object, length and hash are shown, by which its owner can find it.
    """
    if value is None:
        return "null"
    try:
        data = msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _described(value)
    if not isinstance(data, dict):
        return _described(value)
    shown = {field.name for field in definition.fields if not field.personal}
    fields = list(data.items())[:_FIELDS_MAX]
    masked = {name[:_CHARACTERS_MAX]: _masked(name in shown, field) for name, field in fields}
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
        return _described(key)


def _masked(shown: bool, value: Any) -> Any:
    """A declared field is a single value; what is nested in its place was never declared."""
    if value is None:
        return None
    if not shown or isinstance(value, dict | list):
        return MASK
    if isinstance(value, str):
        return value[:_CHARACTERS_MAX]
    return value if abs(value) < 2**63 else MASK  # JSON has larger integers than the encoder


def _described(value: bytes) -> str:
    return f"<{len(value)} bytes, sha256 {hashlib.sha256(value).hexdigest()[:16]}>"
