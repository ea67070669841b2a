"""Whatever is set wherever: flags go before the environment, that before the file, that before defaults."""

import json
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from stream.config import explain, load_settings
from stream.settings.keys import SETTINGS

NUMBERS = {
    "batch.events_max": 2_000,
    "batch.in_flight_max": 16,
    "commit.interval_ms": 200,
    "overlay.bytes_max": 64_000_000,
    "redis.breaker.failures_max": 3,
    "drain_s": 25,
    "future_limit_ms": 3_600_000,
}
LAYER = st.dictionaries(st.sampled_from(sorted(NUMBERS)), st.integers(1, 10**9))


def tree(values: dict[str, int]) -> dict[str, object]:
    """The values as a settings file nests them."""
    root: dict[str, object] = {}
    for key, value in values.items():
        *sections, last = key.split(".")
        inner = root
        for section in sections:
            inner = inner.setdefault(section, {})  # type: ignore[assignment]  # sections are mappings
        inner[last] = value
    return root


@settings(max_examples=60, deadline=None)
@given(file=LAYER, environ=LAYER, flags=LAYER)
def test_the_later_layer_goes_before_the_earlier_setting_by_setting(
    file: dict[str, int], environ: dict[str, int], flags: dict[str, int]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "riverrun.yaml"
        path.write_text(json.dumps(tree(file)))
        loaded = load_settings(
            path,
            {SETTINGS[key].variable: str(value) for key, value in environ.items()},
            {key: str(value) for key, value in flags.items()},
        )
    shown = {row.key: row for row in explain(loaded)}
    for key, default in NUMBERS.items():
        layers = (
            (flags, f"--set {key}"),
            (environ, SETTINGS[key].variable),
            (file, f"{path}:1"),
            ({key: default}, "default"),
        )
        value, origin = next((layer[key], name) for layer, name in layers if key in layer)
        assert (shown[key].value, shown[key].origin) == (str(value), origin)
