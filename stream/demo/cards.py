"""Simulated card transactions: customers and terminals on a plane, and three kinds of fraud.

The model is the one that the Fraud Detection Handbook describes (Le Borgne et al., 2022, chapter 3),
written from its description: each customer has a mean amount, a spread, a mean number of transactions a
day, and pays at terminals nearby.

1. Every amount above 220 is fraud.
2. Each day two terminals fall into wrong hands; for 28 days all their transactions are fraud.
3. Each day three customers lose their card data; for 14 days a third of their transactions are fraud,
   with five times the amount.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa

from features.arrays import Bools, Floats, Ints

DAY_S = 86_400
PLANE = 100.0
AMOUNT_OF_FRAUD = 220.0
TERMINALS_LOST_A_DAY, TERMINAL_LOST_DAYS = 2, 28
CUSTOMERS_LOST_A_DAY, CUSTOMER_LOST_DAYS = 3, 14
LOST_CARD_SHARE, LOST_CARD_FACTOR = 1 / 3, 5.0
_CUSTOMERS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class CardWorld:
    """How large a world to simulate; equal worlds give equal transactions."""

    first_day: date
    days: int
    customers: int = 5_000
    terminals: int = 10_000
    radius: float = 5.0
    """How far from home a customer pays, on the plane of 100 × 100."""
    seed: int = 0


def simulate_cards(world: CardWorld) -> pa.Table:
    """Transactions in order of time, with the fields of `examples/fraud` and the label `is_fraud`.

    Times are whole seconds (timestamp[ms, UTC]), amounts whole cents.
    """
    random = np.random.default_rng(world.seed)
    customer, day = _visits(world, random)
    second = random.normal(DAY_S / 2, 20_000, len(customer)).astype(np.int64)
    terminal = _terminals_visited(world, customer, random)
    possible = (second > 0) & (second < DAY_S) & (terminal >= 0)
    customer, day, second, terminal = (a[possible] for a in (customer, day, second, terminal))
    order = np.argsort(day * DAY_S + second, kind="stable")
    customer, day, second, terminal = (a[order] for a in (customer, day, second, terminal))

    amount = _amounts(world, customer, random)
    fraud = amount > AMOUNT_OF_FRAUD
    fraud |= _lost(world.terminals, world.days, TERMINALS_LOST_A_DAY, TERMINAL_LOST_DAYS, random)[
        terminal, day
    ]
    lost = _lost(world.customers, world.days, CUSTOMERS_LOST_A_DAY, CUSTOMER_LOST_DAYS, random)[customer, day]
    misused = lost & (random.random(len(amount)) < LOST_CARD_SHARE)
    amount = np.where(misused, np.round(amount * LOST_CARD_FACTOR, 2), amount)
    return _table(world.first_day, day * DAY_S + second, customer, terminal, amount, fraud | misused)


def _visits(world: CardWorld, random: np.random.Generator) -> tuple[Ints, Ints]:
    """Customer and day of every transaction: a Poisson number a day, with a mean of 0 to 4 by customer."""
    mean_a_day = random.uniform(0, 4, world.customers)
    counts = random.poisson(mean_a_day[:, None], (world.customers, world.days))
    cell = np.repeat(np.arange(counts.size), counts.ravel())
    return cell // world.days, cell % world.days


def _terminals_visited(world: CardWorld, customer: Ints, random: np.random.Generator) -> Ints:
    """A terminal near the home of each transaction's customer, uniformly; -1 where there is none."""
    homes = random.uniform(0, PLANE, (world.customers, 2))
    shops = random.uniform(0, PLANE, (world.terminals, 2))
    near = list(_near(homes, shops, world.radius))
    counts = np.concatenate([count for count, _ in near])
    reachable = np.append(np.concatenate([shop for _, shop in near]), -1)
    first = np.cumsum(counts) - counts
    pick = (random.random(len(customer)) * counts[customer]).astype(np.int64)
    return np.where(counts[customer] > 0, reachable[first[customer] + pick], -1)


def _near(homes: Floats, shops: Floats, radius: float) -> Iterator[tuple[Ints, Ints]]:
    """Per slice of customers: how many terminals each reaches, and which, customer by customer."""
    for start in range(0, len(homes), _CUSTOMERS_AT_ONCE):
        home = homes[start : start + _CUSTOMERS_AT_ONCE]
        across, along = (home[:, None, axis] - shops[None, :, axis] for axis in (0, 1))
        who, shop = np.nonzero(across**2 + along**2 < radius**2)
        yield np.bincount(who, minlength=len(home)), shop


def _amounts(world: CardWorld, customer: Ints, random: np.random.Generator) -> Floats:
    """Normal around the customer's mean, with half of it as deviation; what falls below 0 is drawn anew."""
    mean = random.uniform(5, 100, world.customers)[customer]
    amount: Floats = random.normal(mean, mean / 2)
    again: Floats = random.uniform(0, 2 * mean)
    return np.round(np.where(amount < 0, again, amount), 2).astype(np.float64)


def _lost(things: int, days: int, lost_a_day: int, lost_days: int, random: np.random.Generator) -> Bools:
    """Shape (things, days): which are in wrong hands on which day. New ones are drawn every day."""
    lost = np.zeros((things, days), np.bool_)
    for day in range(days):
        lost[random.choice(things, min(lost_a_day, things), replace=False), day : day + lost_days] = True
    return lost


def _table(
    first_day: date, second: Ints, customer: Ints, terminal: Ints, amount: Floats, fraud: Bools
) -> pa.Table:
    midnight = int(datetime(first_day.year, first_day.month, first_day.day, tzinfo=UTC).timestamp())
    return pa.table(
        {
            "transaction_id": pa.array(np.arange(len(second))).cast(pa.string()),
            "event_time": pa.array((midnight + second) * 1000, pa.timestamp("ms", tz="UTC")),
            "customer_id": pa.array(customer).cast(pa.string()),
            "terminal_id": pa.array(terminal).cast(pa.string()),
            "amount": pa.array(amount),
            "is_fraud": pa.array(fraud.astype(np.int64)),
        }
    )
