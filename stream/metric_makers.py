"""How metrics are made: each with its labels and its meaning, and series that come and go."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from platform import python_version
from typing import Literal, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from stream.histogram import BatchedHistogram

_Made = TypeVar("_Made", Counter, Gauge)
_Labels = TypeVar("_Labels", bound=tuple[str, ...])


@dataclass(frozen=True, slots=True)
class Described:
    """A metric as docs/metrics.md lists it."""

    name: str
    type: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    """Without `use_case`, which all have."""
    meaning: str


class Series:
    """The series of a gauge that come and go with what they speak of; a scrape never finds them all gone."""

    def __init__(self, gauge: Gauge, use_case: str) -> None:
        self._gauge = gauge
        self._use_case = use_case
        self._shown: set[tuple[str, ...]] = set()

    def show(self, values: Mapping[_Labels, float]) -> None:
        """By labels; series of other labels are removed."""
        for labels, value in values.items():
            self._gauge.labels(self._use_case, *labels).set(value)
        for gone in self._shown.difference(values):
            self._gauge.remove(self._use_case, *gone)
        self._shown = set(values)


class Maker:
    """Makes metrics named ``riverrun_…`` whose first label is the use case, and keeps a list of them."""

    def __init__(self, registry: CollectorRegistry, use_case: str) -> None:
        self._registry = registry
        self._use_case = use_case
        self.made: list[Described] = []

    def counter(self, name: str, meaning: str, *labels: str) -> Counter:
        self.made.append(Described(f"riverrun_{name}_total", "counter", labels, meaning))
        made = Counter(f"riverrun_{name}", meaning, ["use_case", *labels], registry=self._registry)
        return self._shown(made, labels)

    def gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        self.made.append(Described(f"riverrun_{name}", "gauge", labels, meaning))
        made = Gauge(f"riverrun_{name}", meaning, ["use_case", *labels], registry=self._registry)
        return self._shown(made, labels)

    def series(self, name: str, meaning: str, *labels: str) -> Series:
        return Series(self.gauge(name, meaning, *labels), self._use_case)

    def histogram(self, name: str, meaning: str, bounds: Sequence[float], *labels: str) -> Histogram:
        self.made.append(Described(f"riverrun_{name}", "histogram", labels, meaning))
        names = ["use_case", *labels]
        return Histogram(f"riverrun_{name}", meaning, names, buckets=bounds, registry=self._registry)

    def batched(self, name: str, meaning: str, bounds: Sequence[float]) -> BatchedHistogram:
        self.made.append(Described(f"riverrun_{name}", "histogram", (), meaning))
        made = BatchedHistogram(f"riverrun_{name}", meaning, self._use_case, bounds)
        self._registry.register(made)
        return made

    def build_info(self) -> None:
        info = self.gauge("build_info", "1 for this build", "version", "python")
        info.labels(self._use_case, _installed_version(), python_version()).set(1)

    def _shown(self, made: _Made, labels: tuple[str, ...]) -> _Made:
        """A metric without further labels stands at 0 from the start, so that rates have a beginning."""
        if not labels:
            made.labels(self._use_case)
        return made


def _installed_version() -> str:
    try:
        return version("riverrun")
    except PackageNotFoundError:
        return "checkout"
