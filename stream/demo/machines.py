"""Simulated machines that wear out: readings of settings and sensors, cycle by cycle, until they fail.

Every machine has a life of its own and a mixture of two ways to wear: its bearings (vibration, noise,
particles in the oil) or its cooling (temperatures up, pressure and flow down). Wear grows slowly at first
and fast at the end; what the sensors say of it is hidden behind the settings, which change from shift to
shift, the ambient temperature, and noise.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from features.arrays import Bools, Floats, Ints

LIFE_MIN, LIFE_MAX = 110, 420
_LOADS = np.array([0.4, 0.8, 1.1])
_SPEEDS = np.array([1_200.0, 2_400.0, 3_300.0])
_SHIFT_CYCLES = 8
"""How long a setting lasts on average."""


@dataclass(frozen=True, slots=True)
class Plant:
    """How many machines to simulate; equal plants give equal readings."""

    machines: int = 240
    seed: int = 0


@dataclass(frozen=True, slots=True)
class _Wear:
    """How worn every reading's machine is, shape (n,): 0 is new, bearings + cooling = 1 has failed."""

    bearings: Floats
    cooling: Floats


def simulate_machines(plant: Plant) -> pa.Table:
    """Readings machine by machine, with the fields of `examples/maintenance`; the last of each has failed."""
    random = np.random.default_rng(plant.seed)
    lives = np.clip(random.normal(230, 55, plant.machines), LIFE_MIN, LIFE_MAX).astype(np.int64)
    machine = np.repeat(np.arange(plant.machines), lives)
    cycle = np.arange(len(machine)) - np.repeat(np.cumsum(lives) - lives, lives) + 1
    age = cycle / lives[machine]
    settings = _settings(random, machine, cycle)
    readings = _sensors(random, settings, _wear(random, plant.machines, machine, age))
    columns = {name: pa.array(np.round(values, 3)) for name, values in (settings | readings).items()}
    failed: Bools = cycle == lives[machine]
    return pa.table(
        {
            "machine_id": pa.array([f"m-{number:04d}" for number in machine.tolist()], pa.string()),
            "cycle": pa.array(cycle, pa.int64()),
            **columns,
            "failed": pa.array(failed, pa.bool_()),
        }
    )


def _wear(random: np.random.Generator, machines: int, machine: Ints, age: Floats) -> _Wear:
    """Wear follows a power of age, from what a new machine has; age 1 is its last reading."""
    start = random.uniform(0, 0.1, machines)[machine]
    power = random.uniform(2.5, 5, machines)[machine]
    to_bearings = random.beta(0.6, 0.6, machines)[machine]
    wear = start + (1 - start) * age**power
    return _Wear(bearings=wear * to_bearings, cooling=wear * (1 - to_bearings))


def _settings(random: np.random.Generator, machine: Ints, cycle: Ints) -> dict[str, Floats]:
    n = len(machine)
    # A setting holds until the next change: every reading looks up the last change at or before it.
    changes = (random.random(n) < 1 / _SHIFT_CYCLES) | (cycle == 1)
    since = np.maximum.accumulate(np.where(changes, np.arange(n), 0))
    setting = random.integers(0, len(_LOADS), n)[since]
    season = random.uniform(0, 2 * np.pi, int(machine.max()) + 1)[machine]
    return {
        "load": np.clip(_LOADS[setting] + random.normal(0, 0.03, n), 0, 1.5),
        "speed": np.clip(_SPEEDS[setting] + random.normal(0, 40, n), 0, 5_000),
        "ambient": 18 + 8 * np.sin(2 * np.pi * cycle / 180 + season) + random.normal(0, 1, n),
    }


def _sensors(random: np.random.Generator, settings: dict[str, Floats], wear: _Wear) -> dict[str, Floats]:
    load, ambient, pace = settings["load"], settings["ambient"], settings["speed"] / 2_400
    bearings, cooling = wear.bearings, wear.cooling

    def around(expected: Floats, spread: float) -> Floats:
        return np.maximum(expected + random.normal(0, spread, len(load)), 0)

    return {
        "temperature": around(ambient + 36 + 24 * load + 65 * cooling + 20 * bearings, 2.0),
        "vibration": around(2 + pace + 7.5 * bearings + 1.5 * cooling, 0.5),
        "pressure": around(6 - 0.8 * load - 2 * cooling, 0.15),
        "current": around(18 + 30 * load + 7 * bearings + 4 * cooling, 1.2),
        "flow": around(48 * pace * (1 - 0.3 * cooling), 1.5),
        "noise": around(60 + 8 * pace + 14 * bearings + 2 * cooling, 1.0),
        "oil_temperature": around(ambient + 24 + 16 * load + 35 * cooling + 8 * bearings, 1.5),
        "oil_particles": around(6 + 90 * bearings**1.2 + 25 * cooling, 3.0),
    }
