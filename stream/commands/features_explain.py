"""`riverrun features explain`: how each value of one event came about, for people who doubt a number."""

# ruff: noqa: PLC0415  help comes at once, without the libraries that the work needs

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stream.commands.flags import (
    ConfigFile,
    KafkaProperties,
    KafkaServers,
    LookupFiles,
    RedisUrl,
    Sets,
    UseCaseFile,
    settings_from,
)
from stream.commands.moments import moment_ms

if TYPE_CHECKING:
    from features.definition.model import Definition
    from features.explain import ExplainedWindow, Seen
    from stream.workers.explain import ExplainedEvent

MASK = "***"
ENDS = 3
"""How many entries are printed at each end of a window."""


def explain(  # noqa: PLR0913  a command has as many parameters as flags
    *,
    event: Annotated[
        str, typer.Option(metavar="ID", help="The event's id; parts of one are joined by a tab.")
    ],
    usecase: UseCaseFile = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="History, parquet; without it, what is in Kafka and Redis now."),
    ] = None,
    partition: Annotated[
        int | None, typer.Option(metavar="N", help="Where it is in the events topic.")
    ] = None,
    offset: Annotated[int | None, typer.Option(metavar="N", help="Where it is in its partition.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Search the topic from records of this time on.")
    ] = None,
    show_personal: Annotated[
        bool, typer.Option("--show-personal", help="Do not mask personal fields.")
    ] = False,
    lookups: LookupFiles = None,
    config: ConfigFile = None,
    kafka: KafkaServers = None,
    redis: RedisUrl = None,
    kafka_properties: KafkaProperties = None,
    sets: Sets = None,
) -> None:
    """Print how every feature of one event came about: what each window saw, and what not, and why."""
    if (partition is None) != (offset is None):
        raise typer.BadParameter("a place is a partition and an offset", param_hint="--partition")
    settings = settings_from(
        config, sets, usecase=usecase, kafka=kafka, redis=redis, kafka_properties=kafka_properties
    )
    from stream.config import load_usecase
    from stream.workers.explain import explain_as_served, explain_in_files
    from stream.workers.lookups import read_lookups

    definition = load_usecase(settings)
    event_id = event.replace("\t", "\x1f")
    if data:
        read = read_lookups(definition, tuple(lookups or ()))
        found = explain_in_files(definition, data, read, event_id)
    else:
        place = None if partition is None or offset is None else (partition, offset)
        since_ms = 0 if since is None else moment_ms(since, "--since")
        found = explain_as_served(settings, definition, event_id, place, since_ms)
    typer.echo("\n".join(lines(definition, found, show_personal=show_personal)))


def lines(definition: "Definition", found: "ExplainedEvent", *, show_personal: bool) -> list[str]:
    """What is printed."""
    return list(_Printer(definition, found, show_personal).lines())


class _Printer:
    def __init__(self, definition: "Definition", found: "ExplainedEvent", show_personal: bool) -> None:
        self._definition, self._found = definition, found
        self._masked = {f.name for f in definition.fields if f.personal and not show_personal}
        self._ids_are_masked = not self._masked.isdisjoint(definition.id_fields)

    def lines(self) -> Iterator[str]:
        from features.explain import ExplainedSql, ExplainedWindow

        event = self._found.event
        shown = MASK if self._ids_are_masked else event.ids[0].replace("\x1f", "\t")
        yield f"event {shown}  {self._time(int(event.times[0]))}  {_place(int(event.positions[0]))}"
        for explained in self._found.features:
            yield ""
            if isinstance(explained, ExplainedWindow):
                yield from self._window(explained)
            elif isinstance(explained, ExplainedSql):
                yield f"{explained.feature.name} = {_number(explained.value)}"
                yield f"    {explained.feature.expression.text}"
                for name, value in explained.inputs.items():
                    yield f"    {name} = {self._value(name, value)}"
            else:
                yield f"{explained.name} = {self._value(explained.name, explained.given)}"

    def _window(self, explained: "ExplainedWindow") -> Iterator[str]:
        feature, entries = explained.feature, explained.entries
        yield f"{feature.name} = {_number(explained.value)}"
        key = self._key(feature.entity)
        end = self._time(explained.end)
        if explained.start is None:
            yield f"    the last {feature.span.length} of {feature.entity} {key} until {end}"
        else:
            yield f"    {feature.entity} {key} after {self._time(explained.start)} until {end}"
        if feature.where is not None:
            yield f"    where {feature.where}"
        if explained.cut is not None:
            yield f"    before {self._time(explained.cut)} only whole tiles are seen: the row is long"
        if explained.folded:
            yield "    tiles in the store add to what follows; their entries are not kept"
        noun = "entry" if len(entries) == 1 else "entries"
        yield f"    {len(entries)} {noun}" + (":" if entries else "")
        skipped = len(entries) - 2 * ENDS
        for at, entry in enumerate(entries):
            if skipped > 0 and at == ENDS:
                yield f"        … {skipped} more"
            if skipped <= 0 or at < ENDS or at >= len(entries) - ENDS:
                yield f"        {self._entry(explained, entry)}"
        if explained.left_out:
            yield "    left out:"
        for one in explained.left_out:
            yield f"        {self._entry(explained, one.entry)}: {one.reason.value}"

    def _entry(self, explained: "ExplainedWindow", entry: "Seen") -> str:
        from features.definition.model import RowKind

        feature = explained.feature
        known = None if self._ids_are_masked else self._found.ids.get(entry.id)
        parts = [self._time(entry.time), f"id {entry.id:016x}" if known is None else f"event {known}"]
        if feature.kind is RowKind.LABELS:
            parts.append(f"observed {self._time(entry.mark)}")
        else:
            parts.append(_place(entry.mark))
        if feature.column is not None:
            parts.append(f"{feature.column} {self._value(feature.column, entry.value)}")
        return "  ".join(parts)

    def _key(self, entity: str) -> str:
        fields = next(one.fields for one in self._definition.entities if one.name == entity)
        if not self._masked.isdisjoint(fields):
            return MASK
        return str(self._found.event.keys[entity][0]).replace("\x1f", ", ")

    def _value(self, name: str, value: object) -> str:
        if value is None:
            return "missing"
        if name in self._masked:
            return MASK
        return _number(value) if isinstance(value, float) else str(value)

    def _time(self, time: int) -> str:
        if self._definition.time.is_sequence:
            return f"{self._definition.time.field} {time}"
        whole = datetime.fromtimestamp(time / 1000, UTC).isoformat(sep=" ", timespec="milliseconds")
        return whole.replace(".000", "").replace("+00:00", "Z")


def _place(position: int) -> str:
    from features.event import POSITION_OFFSET_BITS

    partition = (position >> POSITION_OFFSET_BITS) - 1
    offset = position & ((1 << POSITION_OFFSET_BITS) - 1)
    return f"row {offset}" if partition < 0 else f"partition {partition} offset {offset}"


def _number(value: float) -> str:
    """Every digit that tells it from its neighbours."""
    if value != value:
        return "missing"
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(value)
