"""A Prometheus histogram that takes a batch of observations in one call; one by one they cost too much."""

from collections.abc import Iterable, Sequence

import numpy as np
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from features.arrays import Floats, Ints


class BatchedHistogram(Collector):
    """Observed in one thread, collected in others. Its one label is the use case."""

    def __init__(self, name: str, meaning: str, use_case: str, bounds: Sequence[float]) -> None:
        self._name, self._meaning, self._use_case = name, meaning, use_case
        self._bounds = np.array(bounds, np.float64)
        self._counts: Ints = np.zeros(len(bounds) + 1, np.int64)
        self._sum = 0.0

    def observe(self, values: Floats) -> None:
        """Count values; NaN is left out."""
        known = values[~np.isnan(values)]
        places = np.searchsorted(self._bounds, known, side="left")
        self._counts += np.bincount(places, minlength=len(self._counts))
        self._sum += float(known.sum())

    def collect(self) -> Iterable[Metric]:
        family = HistogramMetricFamily(self._name, self._meaning, labels=["use_case"])
        bounds = [_text(bound) for bound in (*self._bounds.tolist(), np.inf)]
        cumulated = np.cumsum(self._counts).tolist()
        family.add_metric([self._use_case], list(zip(bounds, cumulated, strict=True)), self._sum)
        return [family]


def _text(bound: float) -> str:
    return str(floatToGoString(bound))  # type: ignore[no-untyped-call]  # prometheus-client gives it no types
