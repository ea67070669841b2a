"""What is served is what training sees: however records are cut into batches and whoever is ahead."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from features.arrays import Floats
from features.definition import parse_definition
from features.past.history import History
from features.past.offline import point_in_time_matrix
from stream.engine.batch import BatchPolicy
from stream.pipeline.decode import Decoder
from tests.stream.engine.bench import HOUR_MS, Bench, Origin, bench
from tests.stream.engine.contents import log_batch
from tests.stream.engine.workers import START_MS
from tests.stream.visits import TEXT

RICH = parse_definition(
    TEXT.replace(
        "rules:",
        """\
  - window:
      {entity: person, name: heavy, spans: [40ms, 3 events], where: weight > 1, aggregates: [std(weight)]}
  - window: {entity: person, name: past, spans: [60ms], current: exclude, aggregates: [time_since_last]}
  - window: {entity: door, spans: [2 events, 50ms], aggregates: [distinct_count(person), max(weight)]}
rules:""",
    )
    + "output: {features: all}\nhistory: none\n",
    "visits.yaml",
)
PARTITIONS = 2

doors, weights = st.sampled_from(["front", None]), st.sampled_from([0.5, 1.5, 2.25])
visits = st.tuples(st.integers(0, 60), st.sampled_from("ab"), doors, weights)
produced = st.tuples(
    st.just("produce"), st.integers(0, PARTITIONS - 1), st.lists(visits, min_size=1, max_size=5)
)
actions = st.lists(
    st.one_of(
        produced,
        st.tuples(st.just("repeat"), st.integers(0, PARTITIONS - 1), st.integers(0, 9)),
        st.tuples(st.just("materialize"), st.integers(1, 6)),
        st.tuples(st.just("score")),
        st.tuples(st.just("hand over")),
        st.tuples(st.just("store comes back older"), st.floats(0, 1)),
    ),
    max_size=25,
)


@settings(max_examples=150)
@given(actions=actions, sizes=st.tuples(st.integers(1, 9), st.integers(1, 9)))
def test_served_features_are_those_of_the_point_in_time_join(
    actions: list[tuple[object, ...]], sizes: tuple[int, int]
) -> None:
    batch = BatchPolicy(min(sizes), max(sizes))
    with bench(RICH, PARTITIONS) as made:
        materializer = made.materializer()
        materializer.worker.step(0, 0)
        established = made.store.writes
        worker = made.scorer(batch=batch)
        worker.loop.step()
        for action in actions:
            match action:
                case ("produce", int(partition), list(several)):
                    for time, person, door, weight in several:
                        keys = (f"{person}{partition}", door and f"{door}{partition}")
                        made.produce((START_MS + time, *keys, weight), partition=partition)
                case ("repeat", int(partition), int(back)) if made.log_end(partition):
                    made.produce_again(partition, max(0, made.log_end(partition) - 1 - back))
                case ("materialize", int(size)):
                    materializer.worker.step(size, 0)
                case ("score",):
                    worker.loop.step()
                case ("hand over",):
                    worker.loop.drain(0)
                    worker.source.close()
                    worker = made.scorer(batch=batch)
                case ("store comes back older", float(share)):
                    writes = established + int(share * (made.store.writes - established))
                    made.store.restart(writes)
                case _:
                    pass
        made.clock.ms += 1_000  # should the store's breaker rest
        worker.settle()
        served = features_served(made)
        wanted = features_of_history(made)
        if not any(action[0] == "store comes back older" for action in actions):
            assert served.keys() == wanted.keys()
        for origin, features in served.items():
            np.testing.assert_array_equal(features, wanted[origin])


def features_served(made: Bench) -> dict[Origin, Floats]:
    """Of the predictions that nothing was wrong with but the want of a model."""
    whole = [p for p in made.predictions() if set(p["degradations"]) <= {"no_model", "key_missing"}]
    names = RICH.feature_names
    return {
        (p["origin"]["partition"], p["origin"]["offset"]): np.array(
            [p["features"][name] for name in names], np.float64
        )
        for p in whole
    }


def features_of_history(made: Bench) -> dict[Origin, Floats]:
    """What the training set holds for every event of the log."""
    decoded = Decoder(RICH, future_limit_ms=HOUR_MS).decode(log_batch(made.broker, PARTITIONS))
    assert decoded.rejected == []
    events = decoded.events
    history = History(events, np.full(len(events), np.nan), events.times)
    matrix = point_in_time_matrix(RICH, history, np.arange(len(events)))
    origins = [(p, offset) for p in range(PARTITIONS) for offset in range(made.log_end(p))]
    return dict(zip(origins, matrix, strict=True))
