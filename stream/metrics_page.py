"""docs/metrics.md, made from the metrics themselves: ``python -m stream.metrics_page > docs/metrics.md``."""

import sys
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry

from stream.errors import AbortCause
from stream.metrics import BREAKER_STATES, Described, MaterializeMetrics, ScoreMetrics
from stream.pipeline.causes import Cause, Source
from stream.pipeline.rejected import RejectReason

_INTRODUCTION = """\
# Metrics

Each worker serves its metrics on `/metrics` of its HTTP port, in Prometheus' text format. Every metric has
the label `use_case`; Prometheus adds the instance. Beside them stand `process_…` and `python_…`, which
prometheus-client gives. This page is made by `python -m stream.metrics_page`."""

_HISTOGRAMS = """\
A histogram has the series `…_bucket` (with the label `le`), `…_count` and `…_sum`; `…_created` says since
when a series counts. Counters and gauges without a label of their own stand at 0 from the start; series of
partitions that went to another worker, and of model versions that are no longer in force, are removed.

`riverrun_fallbacks_total` counts only the causes that make someone else than the champion answer."""

_LABELS = "No label takes a value from a record.\n\n| label | values |\n|---|---|"


def _listed(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


LABELS: Mapping[str, str] = {
    "cause": _listed(str(cause.name).lower() for cause in Cause) + "; of rebuilds `lost`, `restarted`; of "
    "aborts " + _listed(AbortCause),
    "decision": "the decisions of the use case, and `none`",
    "digest": "SHA-256 of the model, of the versions in force",
    "outcome": "of labels `appended`, `incomplete` (names no event time or entities), `rejected`; of "
    "compactions `done`, `needless`, `conflict` (appended to meanwhile)",
    "partition": "numbers of the topic's partitions in hand",
    "python": "of this process",
    "reason": _listed(RejectReason),
    "role": "`champion`, `previous`",
    "source": _listed(source.name.lower() for source in Source),
    "stage": "`decode`, `read`, `enrich`, `score`, `decide`, `encode`, `publish`; of transactions `commit`",
    "state": "of the breaker " + _listed(BREAKER_STATES) + "; of rows the first twelve digits of the state "
    "fingerprint",
    "topic": "the topics of events and of labels",
    "variant": "`champion`",
    "version": "of the models in force, and `rules`; in `riverrun_build_info` of riverrun",
}
"""Every label there may be and all values it may take. None comes from a record."""


def page() -> str:
    """The whole page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield _INTRODUCTION
    workers = {
        "riverrun score": ScoreMetrics(CollectorRegistry(), "").described,
        "riverrun materialize": MaterializeMetrics(CollectorRegistry(), "").described,
    }
    for worker, described in workers.items():
        yield f"\n## `{worker}`\n\n| metric | type | labels | meaning |\n|---|---|---|---|"
        yield from map(_row, sorted(described, key=lambda metric: metric.name))
    yield f"\n{_HISTOGRAMS}\n\n## Labels\n\n{_LABELS}"
    yield from (f"| `{name}` | {values} |" for name, values in LABELS.items())


def _row(metric: Described) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{metric.name}` | {metric.type} | {labels} | {metric.meaning} |"


if __name__ == "__main__":
    sys.stdout.write(page())
