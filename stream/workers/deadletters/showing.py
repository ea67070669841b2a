"""Everything of one dead letter, for people; personal data only where it is asked for."""

from collections.abc import Iterator

import msgspec

from features.definition.model import Definition
from stream.pipeline.mask import MASK, described, masked_headers, masked_key, masked_value, shape
from stream.records import Headers
from stream.transport.deadletter import Letter
from stream.workers.deadletters.listing import moment, printable
from stream.workers.deadletters.standing import Standing

VALUE_BYTES_MAX = 65_536
"""Of a value, not more is printed."""
_HEX_WIDTH = 16


def lines(definition: Definition, standing: Standing, *, unmasked: bool) -> Iterator[str]:
    """definition: says what is personal. Of letters of another use case it cannot, so all is masked."""
    letter = standing.letter
    yield f"dead letter {standing.place} of {standing.topic}, since {moment(standing.when)}"
    if letter is None:
        yield "somebody else wrote it: it does not say where it comes from, and cannot be replayed"
    else:
        yield from _envelope(letter)
    known = definition if letter is not None and letter.use_case == definition.name else None
    if known is None and not unmasked:
        yield f"it is not of {definition.name}, so nothing says what in it is personal: all is masked"
    key = standing.key if letter is None else letter.key
    value = standing.value if letter is None else letter.value
    yield f"key:       {_key(known, key, unmasked=unmasked)}"
    yield from _headers(standing.headers if letter is None else letter.headers, unmasked=unmasked)
    yield f"value:     {'none' if value is None else described(value)}"
    if value is not None:
        yield from _plain(value) if unmasked else _masked(known, value)


def _envelope(letter: Letter) -> Iterator[str]:
    yield f"reason:    {printable(letter.reason)}"
    if letter.field:
        yield f"field:     {printable(letter.field)}"
    yield f"detail:    {printable(letter.detail)}"
    sent = "" if letter.timestamp < 0 else f", sent {moment(letter.timestamp)}"
    place = f"partition {letter.partition} offset {letter.offset}"
    yield f"record:    {printable(letter.topic)} {place}{sent}"
    yield f"use case:  {printable(letter.use_case)}"
    whence = letter.replayed
    if whence is not None:
        times = "once" if whence.count == 1 else f"{whence.count} times"
        stood = f"{whence.partition}:{whence.offset} of {printable(whence.topic)}"
        yield f"replayed:  {times}, last from {stood}"
    if letter.cut is not None:
        yield f"cut:       {printable(letter.cut)}; a cut record cannot be replayed"


def _key(definition: Definition | None, key: bytes | None, *, unmasked: bool) -> str:
    if key is None:
        return "none"
    if unmasked:
        return printable(key.decode(errors="backslashreplace"))
    return MASK if definition is None else printable(masked_key(definition, key))


def _headers(headers: Headers, *, unmasked: bool) -> Iterator[str]:
    plain = [(name, (value or b"").decode(errors="backslashreplace")) for name, value in headers]
    for name, value in plain if unmasked else masked_headers(headers):
        yield f"header:    {printable(name)}: {printable(value)}"


def _masked(definition: Definition | None, value: bytes) -> Iterator[str]:
    if definition is None:
        return
    hidden = shape(definition, value)
    if hidden is not None:
        yield "its shape, letters as a and digits as 0:"
        yield from hidden.splitlines()
    elif (text := masked_value(definition, value)).startswith("{"):
        yield from _pretty(text.encode()) or [printable(text)]


def _plain(value: bytes) -> Iterator[str]:
    pretty = _pretty(value) if len(value) <= VALUE_BYTES_MAX else []
    some = value[:VALUE_BYTES_MAX]
    if pretty:
        yield from pretty
    elif _is_text(value):
        yield from (printable(line) for line in some.decode(errors="ignore").splitlines())
    else:
        yield from _hex(some)
    if len(value) > VALUE_BYTES_MAX:
        yield f"… {len(value) - VALUE_BYTES_MAX:,} more bytes"


def _pretty(value: bytes) -> list[str]:
    """JSON in lines; none where it is not JSON."""
    try:
        msgspec.json.decode(value)
        text = msgspec.json.format(value, indent=2).decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
    return [printable(line) for line in text.split("\n")]


def _is_text(value: bytes) -> bool:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return False
    return all(c.isprintable() or c in "\t\r\n" for c in text)


def _hex(value: bytes) -> Iterator[str]:
    """Sixteen bytes a line: where, in hexadecimal, and what of them is text."""
    for at in range(0, len(value), _HEX_WIDTH):
        some = value[at : at + _HEX_WIDTH]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in some)
        yield f"{at:08x}  {some.hex(' '):<{3 * _HEX_WIDTH - 1}}  {text}"
