"""What the rounds say: of each contestant, and as the ratios that the project is held to."""

from collections.abc import Mapping, Sequence

from benchmarks.contestants import BESIDE, Contestant
from benchmarks.ratios import (
    ANCHOR,
    Compared,
    Round,
    compare,
    compare_with_peers,
    events_per_s,
    median_of,
    runs_of,
    spread,
)

PAIRS: Mapping[str, Sequence[tuple[str, str]]] = {
    "plain_to_passthrough": [("plain", ANCHOR)],
    "plain_lightgbm_to_passthrough": [("plain_lightgbm", ANCHOR)],
    "plain_features_to_passthrough": [("plain_features", ANCHOR), ("plain_lightgbm_features", ANCHOR)],
    "windows_to_passthrough": [("windows", ANCHOR), ("windows_lightgbm", ANCHOR)],
    "windows_lightgbm_to_passthrough": [("windows_lightgbm", ANCHOR)],
    "windows_features_to_passthrough": [("windows_features", ANCHOR), ("windows_lightgbm_features", ANCHOR)],
    "plain_reasons_to_passthrough": [("plain_reasons", ANCHOR), ("plain_lightgbm_reasons", ANCHOR)],
    "windows_reasons_to_passthrough": [("windows_reasons", ANCHOR), ("windows_lightgbm_reasons", ANCHOR)],
    "eos_to_alo": [("plain_eos", "plain"), ("plain_lightgbm_eos", "plain_lightgbm")],
    "windows_eos_to_alo": [("windows_eos", "windows")],
}
"""Of each ratio who is compared; of several pairs the first that both took part."""
TO_PEERS: Mapping[str, tuple[Sequence[str], bool]] = {
    "windows_to_best_peer": (("windows", "windows_lightgbm"), True),
    "windows_to_median_peer": (("windows", "windows_lightgbm"), False),
    "plain_to_best_peer": (("plain", "plain_lightgbm"), True),
}
"""Ours, and whether with the best of the peers or with the one in the middle; each peer by its best idiom."""
TWO = [("plain_two", "plain"), ("plain_lightgbm_two", "plain_lightgbm")]


def ratios(rounds: Sequence[Round], everyone: Sequence[Contestant]) -> dict[str, object]:
    """`ratios` of events/s and `cpu_ratios` by the same names, with what they were made of."""
    found: dict[str, Compared] = {}
    for name, pairs in PAIRS.items():
        if made := next((c for one, other in pairs if (c := compare(rounds, one, other))), None):
            found[name] = made
    for one in everyone:
        if one.tree and (made := compare(rounds, one.name.removesuffix(BESIDE), one.name)):
            found[f"{one.name.removesuffix(BESIDE)}_to_beside"] = made
    peers: dict[str, list[str]] = {}
    for one in everyone:
        if one.kind == "peer":
            peers.setdefault(one.peer, []).append(one.name)
    for name, (ours, with_best) in TO_PEERS.items():
        rank = _first if with_best else _middle
        if made := next((c for one in ours if (c := compare_with_peers(rounds, one, peers, rank))), None):
            found[name] = made
    plain = {name: round(one.events_per_s, 3) for name, one in found.items()}
    cpu = {name: round(one.cpu, 3) for name, one in found.items()}
    if two := next((c for one, other in TWO if (c := compare(rounds, one, other))), None):
        plain["cpu_two_to_one"] = cpu["cpu_two_to_one"] = round(1.0 / two.cpu, 3)
        found["cpu_two_to_one"] = two
    details = {
        name: {"of": list(one.of), "spread": _rounded(one.spread), "rounds": _rounded(one.rounds)}
        for name, one in found.items()
    }
    return {"ratios": plain, "cpu_ratios": cpu, "ratio_details": details}


def summary(rounds: Sequence[Round], everyone: Sequence[Contestant]) -> dict[str, dict[str, object]]:
    """Medians over the rounds, by contestant."""
    found: dict[str, dict[str, object]] = {}
    for one in everyone:
        runs = runs_of(rounds, one.name)
        if not runs:
            continue
        rates = [run.events_per_s for run in runs]
        found[one.name] = {
            "kind": one.kind,
            "use_case": one.usecase,
            "model": one.engine,
            "events_per_s": round(median_of(rounds, one.name, events_per_s)),
            "events_per_s_spread": [round(value) for value in spread(rates)],
            "cpu_us_per_event": round(median_of(rounds, one.name, lambda r: r.cpu_us_per_event), 3),
            "cpu_us_per_event_by_round": _rounded([run.cpu_us_per_event for run in runs]),
            "cpu_share": round(median_of(rounds, one.name, lambda r: r.cpu_share), 3),
            "rss_peak_mb": round(median_of(rounds, one.name, lambda r: r.rss_peak_mb), 1),
            "broker_cpu_us_per_event": round(
                median_of(rounds, one.name, lambda r: r.broker_cpu_seconds / r.events * 1e6), 3
            ),
            "redis_cpu_us_per_event": round(
                median_of(rounds, one.name, lambda r: r.redis_cpu_seconds / r.events * 1e6), 3
            ),
            "events_measured": round(median_of(rounds, one.name, lambda r: r.events)),
        }
        if one.processes > 1:
            found[one.name]["cpu_share_of_the_idler_process"] = round(
                median_of(rounds, one.name, lambda r: r.cpu_share_least), 3
            )
        if (share := runs[-1].alert_share) is not None:
            found[one.name]["alert_share"] = round(share, 4)
    return found


def _first(_: int) -> int:
    return 0


def _middle(count: int) -> int:
    """Of an even number the better of the two in the middle."""
    return (count - 1) // 2


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(value, 3) for value in values]
