"""Texts that people write: use cases, expressions, settings, properties files.

Each is read, or refused with the mistake named; what is read means the same when it is written out again.
"""

import atexit
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path

import msgspec
import numpy as np

from features.arrays import Column
from features.definition import DefinitionError, definition_from_data, json_schema, parse_definition
from features.definition.document import read_bytes
from features.definition.model import Definition, RecordLabel
from features.expression import ColumnType, ExpressionError, compile_expression
from features.expression.scan import BYTES_MAX
from features.matrix import FeaturePlan
from stream.config import MASK, explain, load_settings
from stream.demo import examples
from stream.errors import ConfigurationError
from stream.pipeline.decode import Decoder
from stream.pipeline.labels import LabelDecoder
from stream.settings.keys import SETTINGS, is_secret
from stream.transport.kafka import parse_properties
from tests.features.definition_texts import CLASSES, REGRESSION, SEQUENCE, text_of
from tests.fuzz.drawing import Drawing
from tests.fuzz.properties_reference import java_properties
from tests.stream.definitions import json_records

TYPES: dict[str, ColumnType] = {"x": "number", "y": "number", "p": "bool", "s": "string", "t": "timestamp"}
COLUMNS: dict[str, Column] = {
    "x": np.array([0.0, -1.5, 1e308, np.nan, 2.0]),
    "y": np.array([0.0, np.nan, 3.0, 1e-300, -0.0]),
    "p": np.array([0.0, 1.0, np.nan, 1.0, 0.0]),
    "s": np.array(["", "a", None, " 2.5 ", "é%_"], np.object_),
    "t": np.array([0.0, np.nan, 1.7e12, 2.5e14, 1.0]),
}
ROWS = 5
SECRET = "hush-hush"
SECRET_VARIABLES = {"RIVERRUN_REDIS__PASSWORD", "RIVERRUN_KAFKA__PROPERTIES__SASL_PASSWORD"}


def definition(data: bytes) -> None:
    """A use case file."""
    try:
        read = parse_definition(read_bytes(data, "f"), "f")
    except DefinitionError as error:
        assert error.problems
        assert all(p.place.startswith("f:") and p.cause and p.mend for p in error.problems)
        return
    again = definition_from_data(msgspec.json.decode(msgspec.json.encode(read.source)), "f")
    assert again == read, "what the bundle holds is read as something else"
    assert again.fingerprints == read.fingerprints
    _assert_usable(read)


def _assert_usable(read: Definition) -> None:
    """Nothing that was accepted is refused, or falls over, later."""
    decoded = Decoder(read, future_limit_ms=0).decode(json_records({}, 1))
    assert len(decoded.rejected) == 2
    if isinstance(read.label, RecordLabel):
        assert len(LabelDecoder(read, future_limit_ms=0).decode(json_records({}, 1)).rejected) == 2
    assert len(FeaturePlan(read).definition.feature_names) == len(read.features)


def definition_seeds() -> list[bytes]:
    """The examples, and small files of each task."""
    written = [examples.path(name).read_bytes() for name in examples.names()]
    small = [text_of(), text_of(**SEQUENCE), text_of(**REGRESSION), text_of(**CLASSES)]
    return [*written, *(text.encode() for text in small)]


def expression(data: bytes) -> None:
    """An expression of SQL."""
    text = data.decode("utf-8", "replace")
    try:
        compiled = compile_expression(text, TYPES, "Europe/Paris")
    except ExpressionError as error:
        assert error.problems
        assert all(0 <= p.offset <= len(text) and p.cause and p.mend for p in error.problems)
        return
    assert len(text.encode()) <= BYTES_MAX
    assert compiled.names <= TYPES.keys()
    again = compile_expression(compiled.text, TYPES, "Europe/Paris")
    assert again == compiled
    values = compiled.evaluate(COLUMNS, ROWS)
    assert values.shape == (ROWS,)
    assert _bits(again.evaluate(COLUMNS, ROWS)) == _bits(values)
    alone = [compiled.evaluate({n: c[i : i + 1] for n, c in COLUMNS.items()}, 1) for i in range(ROWS)]
    assert [_bits(one)[0] for one in alone] == _bits(values)
    if compiled.type == "string":
        assert all(value is None or isinstance(value, str) for value in values.tolist())
        return
    assert not np.isinf(values).any()
    if compiled.type == "bool":
        assert set(values[~np.isnan(values)].tolist()) <= {0.0, 1.0}


def _bits(values: Column) -> list[object]:
    return list(values.view(np.int64)) if values.dtype == np.float64 else list(values)


def expression_seeds() -> list[bytes]:
    """An expression of each kind."""
    texts = (
        "x > 1 AND NOT p OR s = 'a'", "CASE WHEN x IS NULL THEN 1 WHEN p THEN y ELSE -x / 2 END",
        "CASE s WHEN 'a' THEN 1 ELSE 2 END", "COALESCE(NULLIF(x, 0), ROUND(y, 2), LEAST(x, y, 1e3))",
        "EXTRACT(hour FROM t) BETWEEN 6 AND 22", "t < TIMESTAMP '2024-03-31 02:30:00'", "s IN ('a', NULL)",
        "CAST(s AS DOUBLE) + CAST(p AS BIGINT) % 2", "UPPER(TRIM(s)) || SUBSTRING(s, 2, 1) LIKE '%_a'",
        "POWER(x, 0.5) * EXP(LN(y)) - SQRT(ABS(x)) + SIGN(y) + FLOOR(x) + CEIL(y)",
        "LENGTH(CONCAT(s, 'x')) <> 3",
    )  # fmt: skip
    return [text.encode() for text in texts]


def properties(data: bytes) -> None:
    """A file of Kafka properties, as Java reads it."""
    text = data.decode("utf-8", "replace")
    found = parse_properties(text)
    lines = len(text.splitlines()) + 1
    assert all(1 <= line <= lines for _, line in found.values())
    plain = {key: value for key, (value, _) in found.items()}
    assert plain == java_properties(text), (plain, java_properties(text))


def properties_seeds() -> list[bytes]:
    """Every way to write a property."""
    text = "# a\n ! b\nssl.ca = /ca.pem \nb:2\nc 3\nd\nl=one, \\\n  two\\\\\n\\u00e9\\ =\\t\\x\r\n=v\nlast=\\"
    return [text.encode(), b"sasl.password=hush\r\nclient.id: a\\u12", b"a\\\n\\\nb=\\ud83d\\ude00"]


def settings(data: bytes) -> None:
    """Byte 0: whether the rest is a settings file, or variables of the environment, line by line."""
    draw = Drawing(data)
    kind, rest = draw.below(2), draw.rest()
    environ: dict[str, str] = {}
    file = None
    if kind == 0:
        file = _folder() / "settings.yaml"
        file.write_bytes(rest)
    else:
        for line in rest.decode("utf-8", "surrogateescape").splitlines():
            name, _, value = line.partition("=")
            environ[f"RIVERRUN_{name}"] = value
    try:
        read = load_settings(file, environ, {})
    except ConfigurationError as error:
        assert error.problems
        assert all(p.origin and p.cause and p.mend for p in error.problems)
        if kind == 1 and SECRET_VARIABLES.issuperset(
            n for n, value in environ.items() if SECRET in n + value
        ):
            assert SECRET not in str(error), "a message quotes a secret"
        return
    rows = explain(read)
    assert all(row.value in ("", MASK) for row in rows if is_secret(row.key) and row.key != "redis.url")
    assert not any(SECRET in row.value for row in rows if row.key.endswith("password"))
    json.dumps([row.value for row in rows])


@cache
def _folder() -> Path:
    """Gone when the process ends."""
    folder = tempfile.mkdtemp(prefix="riverrun-fuzz-")
    atexit.register(shutil.rmtree, folder)
    return Path(folder)


def settings_seeds() -> list[bytes]:
    """A file and an environment."""
    file = f"""
usecase: u.yaml
kafka:
  bootstrap_servers: 127.0.0.1:9092
  start: latest
  properties: {{client.id: a, sasl.password: {SECRET}}}
redis: {{url: "redis://:{SECRET}@127.0.0.1:6379/0", deadline_ms: 50, password: {SECRET}}}
batch: {{events_max: 100, wait_ms: 5}}
rejects: {{share_max: 0.5, window: 100}}
"""
    variables = f"""KAFKA__BOOTSTRAP_SERVERS=a:1,b:2
USECASE=u.yaml
REDIS__PASSWORD={SECRET}
REDIS__URL=rediss://u:{SECRET}@h:1/0
LOG__LEVEL=debug
KAFKA__PROPERTIES__SASL_PASSWORD={SECRET}
FRESHNESS__LIMIT_MS=10"""
    return [b"\0" + file.encode(), b"\1" + variables.encode()]


@cache
def words() -> tuple[bytes, ...]:
    """What the grammar of use cases is made of: every name and every choice of its JSON schema."""
    found: set[str] = set()

    def gather(part: object) -> None:
        if isinstance(part, dict):
            found.update(part.get("properties", {}))
            found.update(str(one) for one in part.get("enum", ()))
            for inner in part.values():
                gather(inner)
        elif isinstance(part, list):
            for inner in part:
                gather(inner)

    gather(json_schema())
    punctuation = (
        "{",
        "}",
        "[",
        "]",
        ": ",
        ", ",
        "\n  ",
        "&a",
        "*a",
        "!!",
        "|",
        ">",
        "'",
        '"',
        "7d",
        "1e400",
        "null",
    )
    return tuple(word.encode() for word in (*sorted(found), *punctuation))


def setting_words() -> tuple[bytes, ...]:
    """Every setting, as a file and as the environment names it."""
    steps = {step for key in SETTINGS for step in key.split(".")}
    variables = {key.upper().replace(".", "__") + "=" for key in SETTINGS}
    return tuple(
        word.encode()
        for word in (*sorted(steps | variables), "\n  ", ": ", "{", "}", "[", "1e9", "-1", "nan")
    )
