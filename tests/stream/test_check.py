"""What `riverrun check` and `riverrun schema` say of a use case."""

import json
import re
from pathlib import Path

import pytest

from features.definition import DefinitionError, load_definition
from features.sizing import sizing
from stream.commands.schemas import schema_text_of
from stream.errors import ConfigurationError
from stream.workers.check import Load, lines, size

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
FRAUD = EXAMPLES / "fraud" / "usecase.yaml"
MAINTENANCE = EXAMPLES / "maintenance" / "usecase.yaml"


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*/*.yaml")), ids=lambda path: str(path.parent.name))
def test_the_summary_lists_every_feature_in_model_order_and_the_fingerprints(file: Path) -> None:
    definition = load_definition(file)
    found = lines(file, None)
    assert found[0].startswith(f"{definition.name}: {definition.task}")
    listed = [match[1] for line in found if (match := re.fullmatch(r" +\d+  (\S+)", line))]
    assert listed == list(definition.feature_names)
    text = "\n".join(found)
    for print_ in (definition.fingerprints.state, definition.fingerprints.features):
        assert print_ in text


def test_the_sizing_says_what_was_worked_out() -> None:
    need = sizing(load_definition(FRAUD), 10.0, 1e4)
    text = "\n".join(lines(FRAUD, Load(10.0, 1e4)))
    assert "at 10 events/s" in text
    assert f"memory in Redis    {size(need.memory_bytes)}" in text
    assert text.count("10,000 keys") == len(need.rows) == 3
    assert "keys" not in "\n".join(lines(FRAUD, None))


def test_the_summary_says_how_exact_rows_are() -> None:
    text = "\n".join(lines(FRAUD, None))
    assert "customer (events): amount; 40 bytes an entry; exact for 256 entries, then tiles of 1h" in text
    assert "exact for 256 entries\n" in "\n".join(lines(MAINTENANCE, None))


def test_what_is_looked_up_is_listed_and_counted(tmp_path: Path) -> None:
    file = tmp_path / "usecase.yaml"
    item = "  - lookup: {entity: customer, fields: {credit_limit: float64, segment: string}}\nrules:"
    file.write_text(FRAUD.read_text().replace("\nrules:", f"\n{item}", 1))
    assert "  customer: credit_limit, segment (text); 40 bytes a value" in lines(file, None)
    assert "customer (looked up): 10,000 keys × 40 bytes, 2." in "\n".join(lines(file, Load(10.0, 1e4)))


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1_000, "1.0 kB"), (2_500_000, "2.5 MB"), (3e9, "3.0 GB")],
)
def test_bytes_are_written_for_people(count: float, text: str) -> None:
    assert size(count) == text


def test_a_use_case_with_mistakes_is_refused_with_all_of_them(tmp_path: Path) -> None:
    file = tmp_path / "usecase.yaml"
    file.write_text(FRAUD.read_text().replace("task: binary", "task: guess").replace("grace: 1h", "grace: x"))
    with pytest.raises(DefinitionError) as raised:
        lines(file, None)
    assert len(raised.value.problems) == 2
    assert str(raised.value).count("\n") == 1


@pytest.mark.parametrize("kind", ["usecase", "event", "label", "prediction", "deadletter"])
def test_every_schema_is_json_with_its_dialect(kind: str) -> None:
    schema = json.loads(schema_text_of(kind, FRAUD))  # type: ignore[arg-type]  # parametrize forgets the literal
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_a_predictions_schema_names_the_use_cases_own_fields_only_with_its_file() -> None:
    assert "customer_mean_amount_7d" in schema_text_of("prediction", FRAUD)
    assert "customer_mean_amount_7d" not in schema_text_of("prediction", None)


def test_labels_made_of_later_events_have_no_schema() -> None:
    with pytest.raises(ConfigurationError, match="no labels come as records"):
        schema_text_of("label", MAINTENANCE)
