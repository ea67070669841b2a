"""The published contracts against the code, and against what was released."""

import copy
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from features.definition import definition_from_data, load_definition
from features.definition.model import Definition
from stream.contracts import (
    dead_letter_schema,
    event_schema,
    label_schema,
    prediction_schema,
    published,
    schema_text,
)
from stream.contracts.__main__ import main as write_contracts
from stream.contracts.compatibility import breaking_changes
from stream.pipeline.decode import Decoder
from stream.pipeline.labels import LabelDecoder
from stream.transport.deadletter import dead_letter
from tests.stream.definitions import (
    ORDER,
    ORDER_MS,
    READING,
    TICKET,
    classes,
    clock,
    clock_in,
    json_records,
    records,
    sequence,
)

ROOT = Path(__file__).parents[2]
CONTRACTS = ROOT / "docs" / "contracts"
EXAMPLE = ROOT / "examples" / "fraud" / "usecase.yaml"
RELEASED = Path(__file__).parent / "released"
ALL = [clock, sequence, classes, lambda: clock_in("s"), lambda: clock_in("us")]


def test_the_published_files_are_what_the_code_says() -> None:
    remedy = f"run `python -m stream.contracts {EXAMPLE.relative_to(ROOT)} {CONTRACTS.relative_to(ROOT)}`"
    for name, schema in published(load_definition(EXAMPLE)).items():
        assert (CONTRACTS / name).read_text(encoding="utf-8") == schema_text(schema), remedy


def test_the_contracts_are_written_to_a_directory(tmp_path: Path) -> None:
    write_contracts(EXAMPLE, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(published(load_definition(EXAMPLE)))


@pytest.mark.parametrize("name", ["prediction.v1.schema.json", "deadletter.v1.schema.json"])
def test_what_is_written_only_adds_to_what_was_released(name: str) -> None:
    released = json.loads((RELEASED / name).read_text(encoding="utf-8"))
    current = {
        "prediction.v1.schema.json": prediction_schema(),
        "deadletter.v1.schema.json": dead_letter_schema(),
    }
    assert breaking_changes(released, current[name]) == []


@pytest.mark.parametrize("make", ALL)
def test_every_schema_is_a_schema(make: Any) -> None:
    for schema in published(make()).values():
        Draft202012Validator.check_schema(schema)


def test_the_event_contract_says_what_stands_in_for_a_missing_value() -> None:
    data = copy.deepcopy(dict(clock().source))
    data["event"]["fields"] |= {
        "gift": {"type": "bool", "missing": {"default": True}},
        "weight": {"type": "float64", "missing": {"default": 2}},
        "kind": {"type": "string", "missing": {"default": "order"}},
    }
    fields = event_schema(definition_from_data(data, "orders"))["properties"]
    assert [fields[name]["default"] for name in ("gift", "weight", "kind")] == [True, 2, "order"]
    assert fields["gift"]["type"] == ["boolean", "null"]
    assert "default" not in fields["price"]


def test_a_use_case_without_label_records_publishes_no_label_contract() -> None:
    assert "pumps.label.schema.json" not in published(sequence())
    with pytest.raises(ValueError, match="derives its labels"):
        label_schema(sequence())


_VALUES = st.sampled_from(
    [
        None,
        "",
        "x",
        "x" * 300,
        "2024-05-01T10:00:00Z",
        "2024-05-01",
        -1,
        0,
        0.5,
        12,
        1500,
        2**53,
        2**63,
        ORDER_MS,
    ]
) | st.sampled_from(
    [True, [], {}, 1e300, -1e300, "1969-01-01T00:00:00Z", "2024-05-01T10:00:00.123456789+02:00"]
)


@given(st.sampled_from([(clock, ORDER), (sequence, READING), (classes, TICKET)]), st.data())
def test_what_is_accepted_as_an_event_holds_to_the_event_contract(use_case: Any, data: st.DataObject) -> None:
    make, template = use_case
    definition: Definition = make()
    names = st.sampled_from(sorted(template))
    event = {**template, **data.draw(st.dictionaries(names, _VALUES, max_size=3))}
    for name in data.draw(st.lists(names, max_size=2)):
        event.pop(name, None)
    accepted = not Decoder(definition, future_limit_ms=0).decode(json_records(event)).rejected
    valid = Draft202012Validator(event_schema(definition)).is_valid(event)
    assert valid or not accepted
    if not accepted and valid:
        # What JSON Schema cannot say: dates that do not exist, and lengths in bytes.
        assert any(value in ("1969-01-01T00:00:00Z", "x" * 300) for value in event.values())


_LABELS = st.fixed_dictionaries(
    {"event_id": st.sampled_from(["a", "", None])},
    optional={
        "label": st.sampled_from([0, 1, True, 0.5, 2, "fault", "lost", None]),
        "observed_at": st.sampled_from(["2024-05-01T10:00:00Z", ORDER_MS, "x", -5, None]),
        "event_time": st.sampled_from(["2024-05-01T10:00:00Z", ORDER_MS, "x", None]),
        "entities": st.sampled_from([None, {}, {"shop": "1"}, {"shop": None}, {"shop": 1}]),
    },
)


@given(st.sampled_from([clock, classes]), _LABELS)
def test_what_is_accepted_as_a_label_is_what_the_label_contract_allows(
    make: Any, label: dict[str, Any]
) -> None:
    decoded = LabelDecoder(make(), future_limit_ms=0).decode(json_records(label))
    assert Draft202012Validator(label_schema(make())).is_valid(label) == (not decoded.rejected)


@pytest.mark.parametrize("bytes_max", [1 << 20, 700])
@pytest.mark.parametrize("value", [None, b"{", b"x" * 2000, b'{"price":"secret"}', b'{"price":-1}'])
def test_dead_letters_hold_to_their_contract(value: bytes | None, bytes_max: int) -> None:
    batch = records([value])
    (rejected,) = Decoder(clock(), future_limit_ms=0).decode(batch).rejected
    headers = dead_letter(batch, rejected, "orders", bytes_max).headers
    texts = {name: (text or b"").decode() for name, text in headers}
    assert [e.message for e in Draft202012Validator(dead_letter_schema()).iter_errors(texts)] == []


def _changed(**changes: Any) -> dict[str, Any]:
    """The prediction contract with fields replaced, or taken out where None is given."""
    schema: dict[str, Any] = copy.deepcopy(prediction_schema())
    for name, field in changes.items():
        schema["properties"].pop(name, None)
        if field is not None:
            schema["properties"][name] = field
    return schema


def _required(*, less: str = "", more: str = "") -> dict[str, Any]:
    schema = _changed()
    schema["required"] = [name for name in [*schema["required"], more] if name not in ("", less)]
    return schema


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (_changed(score=None), "$.score: the field was removed"),
        (_changed(score={"type": "string"}), "$.score.type: 'number' became 'string'"),
        (_changed(score={"type": ["number", "null"]}), "$.score.type"),
        (_changed(entity_key={"type": "string"}), "$.entity_key.type"),
        (_changed(source={"enum": ["model", "rules"]}), "$.source.enum"),
        (_changed(source={"enum": ["model", "previous", "rules", "oracle"]}), "$.source.enum"),
        (_changed(schema={"const": "riverrun.prediction/2"}), "$.schema.const"),
        (_changed(control={}), "$.control.type: 'boolean' was removed"),
        (
            _changed(decision={"type": ["string", "null"], "maxLength": 5}),
            "$.decision.maxLength: 5 was added",
        ),
        (_changed(degradations={"type": "array", "items": {"type": "integer"}}), "$.degradations.items.type"),
        (_changed(origin={**prediction_schema()["properties"]["origin"], "required": []}), "$.origin.offset"),
        (_required(less="scored_at"), "$.scored_at: the field is no longer always there"),
        (_required(more="score"), "$.score: messages already written lack the field"),
        ({**_changed(), "additionalProperties": False}, "$.additionalProperties: False was added"),
    ],
)
def test_a_change_that_breaks_readers_or_written_messages_is_named(
    new: dict[str, Any], expected: str
) -> None:
    found = breaking_changes(prediction_schema(), new)
    assert any(sentence.startswith(expected) for sentence in found), found


def test_additions_and_other_words_break_nothing() -> None:
    new = _changed(latency_ms={"type": "number"}, score={"type": "number", "description": "In other words."})
    new["properties"]["model"]["properties"]["trained_at"] = {"type": "integer"}
    new["required"] = new["required"][::-1]
    new["title"] = "another"
    assert breaking_changes(prediction_schema(), new) == []
    assert breaking_changes(new, prediction_schema()) != []


def test_true_and_one_are_told_apart() -> None:
    assert breaking_changes({"const": 1}, {"const": True}) != []
    assert breaking_changes({"enum": [0, 1]}, {"enum": [1, 0]}) == []
    assert breaking_changes({"items": True}, {"items": {}}) == ["$.items: True became {}"]


def test_the_examples_in_the_documents_hold_to_their_contracts() -> None:
    definition = load_definition(EXAMPLE)
    schemas = {
        "event": event_schema(definition),
        "label": label_schema(definition),
        "prediction": prediction_schema(definition),
        "deadletter": dead_letter_schema(),
    }
    text = (ROOT / "docs" / "contracts.md").read_text(encoding="utf-8")
    shown = text.split("```json ")[1:]
    assert sorted(block.split("\n", 1)[0] for block in shown) == sorted(schemas)
    for block in shown:
        name, rest = block.split("\n", 1)
        message = msgspec.json.decode(rest.split("```", 1)[0])
        assert [e.message for e in Draft202012Validator(schemas[name]).iter_errors(message)] == []
