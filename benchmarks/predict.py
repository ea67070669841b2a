"""What the scores of a batch cost: LightGBM against the same model in machine code, by the size of the batch.

In this process, on one core. The model has 200 trees of 31 leaves over 20 features, of which some are
missing. Medians of interleaved rounds. Scores that differ by a bit end it.
"""

import argparse
import json
import statistics
import time

import numpy as np

from benchmarks.environment import environment
from benchmarks.servers import Cores, on_core
from features.arrays import Floats
from models.booster import BoosterScorer, lightgbm
from models.compiled.code import CompiledScorer, machine_code
from models.compiled.parity import difference
from models.compiled.text import parse
from models.scorer import Scorer

TREES, LEAVES, FEATURES = 200, 31, 20
TRAINED_ON = 40_000
BATCHES = (1, 10, 100, 1_000, 4_000)
ROUND_EVENTS = 4_000
"""A measurement scores so many events, in batches of rows that follow one another."""
NAMES = tuple(f"f{at}" for at in range(FEATURES))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    chosen = parser.parse_args()
    around = environment()
    matrix, text = model()
    with on_core(Cores.available().measured):
        began = time.process_time()
        code = machine_code(parse(text))
        compile_s = time.process_time() - began
        scorers: dict[str, Scorer] = {
            "lightgbm": BoosterScorer(text, "binary", NAMES, 1),
            "machine_code": CompiledScorer(code, FEATURES, 1),
        }
        differs = difference(scorers["lightgbm"], scorers["machine_code"], matrix)
        assert differs is None, differs
        found = measure(scorers, matrix[:ROUND_EVENTS], chosen.rounds)
    report = {
        "benchmark": "predict",
        "cpu_us_per_event": found,
        "compile_cpu_s": round(compile_s, 2),
        "code_bytes": len(code),
        "model": {"trees": TREES, "leaves": LEAVES, "features": FEATURES},
        "rounds": chosen.rounds,
        "environment": around,
    }
    print(json.dumps(report, indent=2))


def model() -> tuple[Floats, str]:
    """Features, shape (n, 20), and the text of a model that was trained on them."""
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(TRAINED_ON, FEATURES))
    matrix[:, ::4] = np.round(10 * np.abs(matrix[:, ::4]))
    odds = matrix[:, :6].sum(axis=1) + 2 * (matrix[:, 1] * matrix[:, 2] > 0) + rng.normal(0, 2, TRAINED_ON)
    matrix[rng.random(matrix.shape) < 0.02] = np.nan
    data = lightgbm.Dataset(matrix, (odds > np.median(odds)).astype(float), feature_name=list(NAMES))
    parameters = {
        "objective": "binary",
        "num_leaves": LEAVES,
        "learning_rate": 0.05,
        "verbosity": -1,
        "seed": 0,
    }
    return matrix, str(lightgbm.train(parameters, data, num_boost_round=TREES).model_to_string())


def measure(scorers: dict[str, Scorer], matrix: Floats, rounds: int) -> list[dict[str, float]]:
    """Microseconds of CPU per event, for each size of batch and scorer."""
    times: dict[tuple[int, str], list[float]] = {}
    for _ in range(rounds):
        for size in BATCHES:
            batches = [matrix[at : at + size] for at in range(0, len(matrix), size)]
            for name, scorer in scorers.items():
                began = time.process_time()
                for batch in batches:
                    scorer.predict(batch)
                spent = time.process_time() - began
                times.setdefault((size, name), []).append(spent / len(matrix) * 1e6)
    found = []
    for size in BATCHES:
        medians = {name: statistics.median(times[size, name]) for name in scorers}
        ratio = medians["lightgbm"] / medians["machine_code"]
        rounded = {name: round(value, 2) for name, value in medians.items()}
        found.append({"batch": size} | rounded | {"ratio": round(ratio, 1)})
    return found


if __name__ == "__main__":
    main()
