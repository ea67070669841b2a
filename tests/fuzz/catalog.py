"""Every target: a function from bytes to None that raises where something that must hold does not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.fuzz import deployed, events, letters, rows, stored, tables, texts

Seeds = Callable[[], Sequence[bytes]]


@dataclass(frozen=True, slots=True)
class Target:
    """What is fuzzed."""

    check: Callable[[bytes], None]
    seeds: Seeds
    """Inputs to begin with."""
    share: float
    """Of all inputs of a run, in parts of the sum over all targets: less where an input costs more."""
    bytes_max: int = 1_024
    words: tuple[bytes, ...] = ()
    """What a mutation may put in as a whole."""
    process_inputs_max: int = 50_000
    """After so many a new process goes on from the corpus: atheris itself keeps a little memory of each."""

    def ready(self) -> None:
        """What is made once is made before anything is measured."""
        for seed in self.seeds():
            self.check(seed)


JSON_WORDS = (
    b"null", b"true", b"false", b'"":', b"{}", b"[]", b"\\ud83d\\ude00", b"\\u0000", b"1e999", b"-0", b"-0.0",
    b"9223372036854775808", b"9007199254740993", b"\xed\xa0\x80", b"\xff", b"2024-02-29T23:59:60Z", b"\x1e",
)  # fmt: skip

SQL_WORDS = tuple(
    word.encode()
    for word in (
        *(
            "CASE ",
            " WHEN ",
            " THEN ",
            " ELSE ",
            " END",
            " AND ",
            " OR ",
            "NOT ",
            " IS NULL",
            " IN (",
            " LIKE ",
        ),
        *(" BETWEEN ", "CAST(", " AS DOUBLE)", "EXTRACT(", " FROM ", "TIMESTAMP '", "COALESCE(", "NULLIF("),
        *("ROUND(", "POWER(", "SUBSTRING(", "LEAST(", "CONCAT(", " || ", "<>", "/*", "--", "''", "1e308"),
        *("x", "y", "p", "s", "t"),
    )
)

TARGETS = {
    "events": Target(events.events, events.event_seeds, 12, 1_024, JSON_WORDS),
    "labels": Target(events.labels, events.label_seeds, 12, 1_024, JSON_WORDS),
    "tables": Target(tables.tables, tables.table_seeds, 4, 512),
    "definition": Target(texts.definition, texts.definition_seeds, 2.5, 4_096, texts.words()),
    "expression": Target(texts.expression, texts.expression_seeds, 10, 256, SQL_WORDS),
    "properties": Target(
        texts.properties, texts.properties_seeds, 14, 256, (b"\\u", b"\r\n", b"\\\n", b" = ")
    ),
    "settings": Target(texts.settings, texts.settings_seeds, 5, 1_024, texts.setting_words()),
    "rows": Target(rows.rows, rows.row_seeds, 10, 2_048),
    "compaction": Target(rows.compaction, rows.compaction_seeds, 3, 2_048, process_inputs_max=5_000),
    "lookups": Target(stored.lookups, stored.lookup_seeds, 12, 256, JSON_WORDS),
    "progress": Target(stored.progress, stored.progress_seeds, 14, 512, JSON_WORDS),
    "letters": Target(letters.letters, letters.letter_seeds, 14, 1_024),
    "letter-bytes": Target(letters.letter_bytes, letters.letter_seeds, 14, 1_024),
    "deployment": Target(deployed.deployment, deployed.deployment_seeds, 6, 4_096, JSON_WORDS),
    "manifest": Target(deployed.manifest, deployed.manifest_seeds, 10, 4_096, JSON_WORDS),
    "bundle": Target(deployed.bundle, deployed.bundle_seeds, 1, 8_192, JSON_WORDS),
}
