"""A run's middle part: workers up, events through, workers drained, books settled."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from stream.demo import faults
from stream.demo.board import Board
from stream.demo.champion import SCORE, Champion
from stream.demo.ear import Ear
from stream.demo.faults import Play, Stage
from stream.demo.feed import Books, Feed
from stream.demo.ledger import Account, Ledger
from stream.demo.options import DemoOptions
from stream.demo.phases import Phases
from stream.demo.poison import Poisoner
from stream.demo.prepare import Prepared
from stream.demo.reader import Reader
from stream.demo.scoring import Scoring
from stream.demo.servers import Servers
from stream.demo.topology import Topology
from stream.demo.view import View
from stream.demo.workers import Crew, log_tail, wait_ready

MATERIALIZE = "materialize"
_READ_WITHIN_S = 30.0
_HOLD_FROM = 0.75
"""The share of events after which the feed waits for what broke to be mended."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it."""

    account: Account
    ear: Ear
    board: Board
    scoring_s: float
    exit_codes: dict[str, int]
    dead: Sequence[str]
    is_mended: bool
    is_read: bool
    """Whether the output topics were read to their ends."""
    logs: dict[str, str]
    """The last lines of the workers that did not end as they should."""


def score(
    options: DemoOptions,
    prepared: Prepared,
    servers: Servers,
    topology: Topology,
    directory: Path,
    view: View,
    phases: Phases,
) -> Result:
    """Raises `DemoError`."""
    arguments = topology.arguments
    with Crew(directory) as crew:
        with phases.phase("start"):
            for name in (MATERIALIZE, SCORE):
                crew.start(name, arguments)
            for name in (MATERIALIZE, SCORE):
                view.step(f"worker {name} starts", 0, 1)
                wait_ready(crew[name])
            view.say("workers score and materialize are ready")
        scoring = _open(options, prepared, servers, topology, crew)
        try:
            with phases.phase("score"):
                started_s = time.monotonic()
                scoring.reader.start()
                scoring.feed.start()
                scoring.watch(view)
                scoring_s = max(0.0, scoring.ear.last_s - started_s)
            with phases.phase("drain"):
                view.step("workers drain", 0, 1)
                scoring.feed.stop()
                scoring.feed.join()
                dead = crew.dead()
                crew.stop_all()
                is_read = scoring.reader.finish(_READ_WITHIN_S)
        finally:
            scoring.feed.stop()
            scoring.reader.stop()
        return Result(
            account=scoring.ledger.close(),
            ear=scoring.ear,
            board=scoring.board,
            scoring_s=scoring_s,
            exit_codes=dict(crew.exit_codes),
            dead=dead,
            is_mended=scoring.play is None or scoring.play.is_mended,
            is_read=is_read,
            logs={
                name: log_tail(crew[name]) for name, code in crew.exit_codes.items() if code or name in dead
            },
        )


def _open(
    options: DemoOptions,
    prepared: Prepared,
    servers: Servers,
    topology: Topology,
    crew: Crew,
) -> Scoring:
    """Everything that is to run, not yet started."""
    definition, sent = prepared.definition, prepared.messages
    expected = sum(prepared.is_scored)
    ledger, board = Ledger(sent.ids), Board(expected)
    sent_ms = [0] * len(sent.ids)
    events, connection = topology.event_lane, topology.connection
    rows = {event_id: row for row, event_id in enumerate(sent.ids)}
    ear = Ear(definition, rows, sent_ms, ledger, board, events.credit)
    feed = Feed(
        connection,
        sent,
        prepared.is_scored,
        events=events,
        labels=topology.label_lane,
        books=Books(ledger, board, sent_ms),
        speed=options.speed,
    )
    reader = Reader(
        connection, topology.predictions, topology.dead_letters, topology.events, topology.partitions, ear
    )
    play = _play(options, prepared, servers, topology, feed, board, crew)
    if play is not None:
        feed.hold_at(int(len(sent.ids) * _HOLD_FROM))
    return Scoring(feed, reader, ear, ledger, board, crew, play)


def _play(
    options: DemoOptions,
    prepared: Prepared,
    servers: Servers,
    topology: Topology,
    feed: Feed,
    board: Board,
    crew: Crew,
) -> Play | None:
    stage = Stage(0.0, board.snapshot(0.0))
    match options.fault:
        case "redis":
            assert servers.own_redis is not None, "checked with the options"
            return Play(stage, faults.break_redis(stage, servers.own_redis))
        case "model":
            champion = Champion(prepared.version, prepared.models, crew, topology.arguments)
            return Play(stage, faults.break_model(stage, champion))
        case "poison":
            poisoner = Poisoner(prepared.definition, options.seed)
            return Play(stage, faults.poison(stage, partial(feed.poison_with, poisoner)))
        case None:
            return None
