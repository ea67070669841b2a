"""The use case of a run: found, and renamed where servers are shared."""

from pathlib import Path

import pytest

from features.definition import load_definition
from features.keys import Namespace
from stream.demo import examples
from stream.demo.options import DemoError, DemoOptions
from stream.demo.usecase import find_definition, load_usecase


def test_a_use_case_is_found_by_its_name_or_its_file() -> None:
    assert find_definition("fraud") == examples.path("fraud")
    assert find_definition(str(examples.path("maintenance"))) == examples.path("maintenance")


def test_a_name_that_is_none_lists_those_there_are() -> None:
    with pytest.raises(DemoError, match="fraud, maintenance, maintenance/remaining_life"):
        find_definition("churn")


def test_a_file_that_is_not_there_is_said_so() -> None:
    with pytest.raises(DemoError, match="there is no such file"):
        find_definition("elsewhere/usecase.yaml")


def test_on_servers_of_its_own_a_run_keeps_the_name(tmp_path: Path) -> None:
    usecase = load_usecase(DemoOptions(), "ab12", tmp_path)
    assert usecase.definition.name == usecase.title == "fraud"
    assert usecase.file == examples.path("fraud")


@pytest.mark.parametrize("options", [DemoOptions(kafka="k:9092"), DemoOptions(redis="redis://r")])
def test_on_shared_servers_a_run_has_a_name_of_its_own_and_is_otherwise_the_same(
    tmp_path: Path, options: DemoOptions
) -> None:
    usecase = load_usecase(options, "ab12", tmp_path)
    assert (usecase.title, usecase.definition.name) == ("fraud", "fraud_ab12")
    plain = load_definition(examples.path("fraud"))
    assert load_definition(usecase.file).fingerprints == usecase.definition.fingerprints
    assert usecase.definition.feature_names == plain.feature_names
    assert Namespace.of(usecase.definition) != Namespace.of(plain)
