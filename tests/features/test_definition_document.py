"""YAML to plain data with places: what is read, what is refused, and where."""

from pathlib import Path

import pytest

from features.definition import DefinitionError, load_definition
from features.definition.document import FILE_BYTES_MAX, Node, read_bytes, read_yaml, tree_of_data
from features.definition.problems import Place

QUOTE_IT = "put quotes around a text that holds `: `, or mend the indentation"
ONE_DOCUMENT = "keep one use case a file, without `---` in between"


def tree(text: str) -> Node:
    root, found = read_yaml(text, "f")
    assert found == []
    return root


def only_problem(text: str) -> str:
    """The one thing that is wrong with a YAML text, whether or not it can be read on."""
    try:
        _, found = read_yaml(text, "f")
    except DefinitionError as error:
        found = [(Place(), problem) for problem in error.problems]
    assert len(found) == 1
    return str(found[0][1])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        ("-3", -3),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("true", True),
        ("null", None),
        ("~", None),
        ("no", "no"),
        ("on", "on"),
        ("7d", "7d"),
        ("2024-01-01", "2024-01-01"),
        ("12:30", "12:30"),
        ("0x1f", "0x1f"),
        (".nan", ".nan"),
        ("'12'", "12"),
        ('"a\\tb"', "a\tb"),
        ("123456789012345678901234567890", 1.2345678901234568e29),
    ],
)
def test_scalars_are_read_as_yaml_1_2_and_nothing_is_guessed(text: str, value: object) -> None:
    read = tree(f"a: {text}").plain()["a"]
    assert read == value
    assert type(read) is type(value)


def test_every_node_knows_where_it_and_its_key_stand() -> None:
    root = tree("a:\n  - x\n  - {b: 'it'}\nc: 1\n")
    assert root.nearest(("a", 1, "b")).place == Place(3, 9)
    assert root.nearest(("a", 1, "b")).key == Place(3, 6)
    assert root.nearest(("a", 0)).place == Place(2, 5)
    assert root.nearest(("c",)).key == Place(4, 1)


def test_the_nearest_node_stands_in_for_one_that_is_not_there() -> None:
    root = tree("a: {b: 1}")
    assert root.nearest(("a", "x", 3)) is root.nearest(("a",))
    assert root.has(("a", "b"))
    assert not root.has(("a", "x"))


@pytest.mark.parametrize(
    ("text", "offset", "column"),
    [
        ("a: x > 1", 2, 6),
        ("a: 'x > 1'", 2, 7),
        ('a: "x > 1"', 2, 7),
        ("a: 'k = ''b'' > 1'", 8, 15),  # each doubled quote before it takes one column more
        ('a: "x\\t> 1"', 2, 4),  # an escape: only the scalar's own place is certain
        ("a: 'x\n  > 1'", 2, 4),
        ("a: |\n  x > 1", 2, 4),
    ],
)
def test_a_place_inside_a_text_is_exact_where_it_is_written_as_it_reads(
    text: str, offset: int, column: int
) -> None:
    assert tree(text).nearest(("a",)).inside(offset) == Place(1, column)


def test_taking_a_part_out_leaves_the_rest_and_a_trace() -> None:
    root = tree("a: [1, 2, 3]\nb: {c: 1, d: 2}\n")
    smaller = root.without(("a", 1)).without(("b", "c"))
    assert smaller.plain() == {"a": [1, 3], "b": {"d": 2}}
    assert smaller.nearest(("a", 1)).place == Place(1, 11)
    assert smaller.is_hurt()
    assert smaller.nearest(("a",)).hurt
    assert not smaller.nearest(("b", "d")).is_hurt()
    assert not root.is_hurt()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: &x 1", "f:1:4: &x: anchors are not read; take it out"),
        ("a: *x", "f:1:4: *x: aliases are not read; write the value out"),
        ("a: !!python/none 1", "f:1:4: tag:yaml.org,2002:python/none: tags are not read; take it out"),
        ("a: 1\nb: 2\na: 3", "f:3:1: a: the key stands here twice, first at 1:1; keep one of the two"),
        ("a: 1\nb:\n", "f:2:1: b: the key has no value; give it one, or take the key out"),
        ("[1]: 2", "f:1:1: [1]: a key must be a name; write `name: value`"),
        ("", "f:1:1: (nothing): the file is empty; start it with `name: …`"),
        ("a:\n\tb: 1", "f:2:1: (tab): a tab cannot indent YAML; use spaces"),
        ("a: b: c", f"f:1:5: : c: mapping values are not allowed here; {QUOTE_IT}"),
        ("a: 1\n---\nb: 2", f"f:2:1: ---: a second document begins here; {ONE_DOCUMENT}"),
        ("a: x\x07y", "f:1:5: character 0x7: is not allowed in YAML; take it out"),
    ],
)
def test_what_yaml_allows_and_we_do_not_is_named_with_its_place(text: str, problem: str) -> None:
    assert only_problem(text) == problem


def test_a_text_that_would_grow_by_aliases_does_not() -> None:
    levels = "".join(f"k{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9) if i else 'x'}]\n" for i in range(12))
    root, found = read_yaml(levels, "f")
    assert len(root.text()) < 200
    assert len(found) == 12 + 11 * 9


@pytest.mark.parametrize("opening", ["[", "- ", "{a: "])
def test_deep_nesting_is_refused_at_its_limit(opening: str) -> None:
    assert "nested too deeply; at most 24 levels are read" in only_problem("a: \n  " + opening * 5_000)


def test_a_file_that_is_not_utf_8_is_refused_at_the_byte(tmp_path: Path) -> None:
    path = tmp_path / "usecase.yaml"
    path.write_bytes("name: é\ntask: bïn".encode() + b"\xff")
    with pytest.raises(DefinitionError) as caught:
        load_definition(path)
    assert str(caught.value) == f"{path}:2:10: byte 0xff: is not UTF-8; save the file as UTF-8"


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    assert read_bytes("name: x".encode("utf-8-sig"), "f") == "name: x"


def test_a_file_larger_than_the_limit_is_refused_unread() -> None:
    assert read_bytes(b"#" * FILE_BYTES_MAX, "f")
    with pytest.raises(DefinitionError, match="larger than 1,000,000 bytes"):
        read_bytes(b"#" * (FILE_BYTES_MAX + 1), "f")


def test_places_in_plain_data_are_paths() -> None:
    root = tree_of_data({"a": [{"b": 1}]})
    assert str(root.nearest(("a", 0, "b")).place) == "$.a[0].b"
    assert root.plain() == {"a": [{"b": 1}]}
