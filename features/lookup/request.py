"""From a batch of events to lookups: which values it needs, and what they are for each event."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from features.arrays import Bools, Floats, Ints
from features.definition.model import Definition
from features.event import EventBatch
from features.lookup.codec import Fields, Lookups, decode_lookups, lookup_prefix
from features.rows import KeyIndex, index_keys


@dataclass(frozen=True, slots=True)
class LookupRequest:
    """What to read from the store for a batch of n events."""

    entities: Sequence[tuple[Fields, KeyIndex]]
    store_keys: Sequence[bytes]
    """Entity by entity, key by key: each distinct key of the batch once."""


@dataclass(frozen=True, slots=True)
class LookedUp:
    """The lookups of n events."""

    columns: Mapping[str, Floats]
    """Shape (n,) by the name of the feature; texts are hashes (`features.event.hash_texts`), NaN missing."""
    missing: Bools
    """Shape (n,): whether an event has a key without a value that can be read and is not too old."""
    unreadable: Bools
    """Shape (n,): whether one of its values cannot be read."""
    keyless: Bools
    """Shape (n,): whether it lacks a key."""


def request_lookups(
    definition: Definition, events: EventBatch, indexes: Mapping[str, KeyIndex]
) -> LookupRequest:
    """The store keys of every lookup of these events. indexes: by entity, those that are there already."""
    entities: list[tuple[Fields, KeyIndex]] = []
    store_keys: list[bytes] = []
    for entity, fields in definition.lookups.items():
        index = indexes[entity] if entity in indexes else index_keys(events.keys[entity])
        prefix = lookup_prefix(definition.name, entity)
        entities.append((fields, index))
        store_keys += [prefix + key.encode() for key in index.keys]
    return LookupRequest(entities, store_keys)


def assemble_lookups(request: LookupRequest, stored: Sequence[bytes | None], times: Ints) -> LookedUp:
    """Decode what the store answers to `request.store_keys`. times: shape (n,), ms, when each event is."""
    missing, unreadable, keyless = (np.zeros(len(times), np.bool_) for _ in range(3))
    columns: dict[str, Floats] = {}
    at = 0
    for fields, index in request.entities:
        held = decode_lookups(fields, stored[at : at + len(index.keys)])
        at += len(index.keys)
        values, lacking = lookups_of_events(fields, held, index.of_event, times)
        columns |= {field.name: values[:, place] for place, field in enumerate(fields)}
        keyed = index.of_event >= 0
        missing |= lacking & keyed
        keyless |= ~keyed
        if held.unreadable.any():
            unreadable[keyed] |= held.unreadable[index.of_event[keyed]]
    return LookedUp(columns, missing, unreadable, keyless)


def lookups_of_events(fields: Fields, held: Lookups, of_event: Ints, times: Ints) -> tuple[Floats, Bools]:
    """What each of n events has of `held`: shape (n, fields), NaN where missing, and whether it lacks any.

    of_event: the place in `held`; -1 for none. times: ms. A value is missing where the event's time is more
    than the field's `max_age` after its `written_at`; one written after the event has no age.
    """
    keyless = of_event < 0
    if keyless.any():
        values = np.full((len(times), len(fields)), np.nan)
        missing = np.ones(len(times), np.bool_)
        at = np.flatnonzero(~keyless)
        values[at], missing[at] = lookups_of_events(fields, held, of_event[at], times[at])
        return values, missing
    values = held.values[of_event]  # a copy
    ages = times - held.written_at[of_event]
    limits = [np.inf if field.max_age is None else field.max_age for field in fields]
    aged = ages > min(limits)
    if aged.any():  # seldom, and then field by field
        values[ages[:, None] > np.array(limits)] = np.nan
    return values, ~held.found[of_event] | aged
