"""Score workers that change what they serve with, or stop because the topic is not what it should be."""

from pathlib import Path

import pytest

from models.bundle import Bundle
from models.deployment import Deployment, write_deployment
from stream.engine.batch import BatchPolicy
from stream.engine.deployments import read_and_load
from stream.engine.rejects import RejectLimit
from stream.engine.serving import Loaded
from stream.errors import Fatal
from tests.stream.engine.bench import Bench
from tests.stream.engine.contents import EVENTS
from tests.stream.visits import trained


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Bundle, Bundle]:
    """A models directory with two versions."""
    models = tmp_path_factory.mktemp("models")
    return models, trained(models, 0), trained(models, 1)


def test_a_new_deployment_takes_over_between_two_batches(
    one: Bench, bundles: tuple[Path, Bundle, Bundle]
) -> None:
    models, old, new = bundles
    one.materializer(group="once").settle()
    one.produce_some(9)
    worker = one.scorer(batch=BatchPolicy(3, 3), serving=one.serving(Loaded(old, None, ())))
    worker.loop.step()
    write_deployment(models, Deployment(new.version, old.version))
    change = read_and_load(models)
    assert change.problems == ()
    assert change.loaded is not None
    worker.loop.serve(one.serving(change.loaded))
    worker.loop.step()
    worker.loop.serve(one.serving(Loaded(old, None, ())))
    worker.loop.serve(one.serving(Loaded(new, None, ())))  # the latest counts
    worker.settle()
    versions = [p["model"]["version"] for p in one.predictions()]
    assert versions == [old.version] * 3 + [new.version] * 6
    assert {p["source"] for p in one.predictions()} == {"model"}


def test_series_of_versions_that_are_no_longer_in_force_are_removed(
    one: Bench, bundles: tuple[Path, Bundle, Bundle]
) -> None:
    _, old, new = bundles
    one.materializer(group="once").settle()
    worker = one.scorer(serving=one.serving(Loaded(old, None, ())))
    one.produce_some(3)
    worker.settle()
    worker.loop.serve(one.serving(Loaded(new, old, ())))
    one.produce_some(3)
    worker.settle()

    def versions(name: str) -> set[str]:
        found = [metric for metric in worker.registry.collect() if metric.name == name]
        return {sample.labels["version"] for metric in found for sample in metric.samples}

    assert versions("riverrun_predictions") == {old.version, new.version}, "as previous it is in force"
    worker.loop.serve(one.serving(Loaded(new, None, ())))
    one.produce_some(1)
    worker.settle()
    assert versions("riverrun_predictions") == {new.version}
    assert versions("riverrun_model_info") == {new.version}


def test_a_topic_full_of_garbage_stops_the_worker_before_it_drains_into_the_dead_letters(one: Bench) -> None:
    worker = one.scorer(batch=BatchPolicy(1_000, 1_000), rejects=RejectLimit(0.1, 10_000))
    for n in range(1_000):
        one.broker.append(EVENTS, b"k", b"garbage" if n % 5 else b'{"visit": "v"}', [], 0)
    with pytest.raises(Fatal, match=r"100% of the last records of visits\.events were rejected.*offset 999"):
        worker.loop.step()
    assert one.dead_letters() == []
    assert one.committed() == {0: 0}
