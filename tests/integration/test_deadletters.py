"""Dead letters looked at and sent back, on a real Kafka, with the command line that people use."""

import json
from contextlib import closing
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from stream.commands.deadletters import app
from stream.errors import ConfigurationError, ExitCode, Fatal
from stream.records import Headers
from stream.transport.kafka import KafkaConnection
from stream.transport.kafka.ranges import TopicRanges
from tests.integration.records import Letter, Record
from tests.integration.stage import Stage, now_ms

OWN: Headers = [("traceparent", b"00-1-2-01"), ("twice", b"1"), ("twice", b"2")]


def flags(stage: Stage) -> list[str]:
    topics = [f"--set=kafka.topics.{kind}={topic}" for kind, topic in stage.topics.items()]
    return ["--usecase", str(stage.usecase), "--kafka", stage.kafka, *topics]


def deadletters(stage: Stage, *arguments: str) -> str:
    done = CliRunner().invoke(app, [*arguments, *flags(stage)], catch_exceptions=False)
    assert done.exit_code == ExitCode.OK, done.output
    return done.stdout


def listed(stage: Stage, *arguments: str) -> list[dict[str, Any]]:
    printed = deadletters(stage, "list", "--format", "json", *arguments)
    return [json.loads(line) for line in printed.splitlines()]


def bad_weight(visit: str, person: str) -> Record:
    """An event that only a more generous definition takes."""
    event = {"visit": visit, "at": now_ms(), "person": person, "door": "x", "weight": 1_500.0}
    return Record(person.encode(), msgspec.json.encode(event), OWN)


def own_of(letter: Letter) -> tuple[bytes | None, bytes | None, Headers]:
    return letter.key, letter.value, [pair for pair in letter.headers if not pair[0].startswith("riverrun.")]


def test_letters_are_listed_counted_and_shown_without_personal_data(stage: Stage) -> None:
    stage.score(models=False)
    events = stage.topics["events"]
    rubbish = Record(b"Ada", b"Ada was here", OWN)
    first, other = stage.sender.send(events, [bad_weight("v1", "Ada"), rubbish])
    stage.outputs.await_letters(2)
    lines = {line["reason"]: line for line in listed(stage)}
    assert set(lines) == {"out_of_range", "not_json"}
    bad = lines["out_of_range"]
    assert bad["from"] == {"topic": events, "partition": first[0], "offset": first[1]}
    assert (bad["field"], bad["replayed"], bad["cut"]) == ("weight", None, False)
    assert [line["reason"] for line in listed(stage, "--reason", "not_json")] == ["not_json"]
    assert [line["reason"] for line in listed(stage, "--field", "weight")] == ["out_of_range"]
    assert listed(stage, "--since", "2999-01-01") == listed(stage, "--until", "2000-01-01") == []
    assert len(listed(stage, "--topic-partition", f"{events}:{other[0]}", "--limit", "1")) == 1
    table = deadletters(stage, "list")
    assert "2 dead letters" in table
    assert f"{events} {first[0]}:{first[1]}" in table
    shown = deadletters(stage, "show", written(bad))
    assert '"weight": 1500.0' in shown
    assert "header:    traceparent: 00-1-2-01" in shown
    shown = deadletters(stage, "show", written(lines["not_json"]))
    assert "was here" not in shown
    assert "aaa aaa aaaa" in shown
    assert "Ada was here" in deadletters(stage, "show", "--unmasked", written(lines["not_json"]))


def test_a_replayed_letter_fails_again_recognisably_and_gives_a_prediction_once_mended(stage: Stage) -> None:
    worker = stage.score(models=False)
    events, record = stage.topics["events"], bad_weight("v1", "Ada")
    ((partition, _),) = stage.sender.send(events, [record])
    stage.outputs.await_letters(1)
    (bad,) = listed(stage)
    dry = deadletters(stage, "replay", "--field", "weight", "--dry-run")
    assert f"{written(bad)} -> {events} partition {partition}" in dry
    assert "1 of 1 dead letters were replayed" in deadletters(stage, "replay", "--field", "weight", "--yes")
    letters = stage.outputs.await_letters(2)
    assert [own_of(letter) for letter in letters] == [(record.key, record.value, OWN)] * 2
    again = next(line for line in listed(stage) if line["replayed"])
    stood = {"topic": stage.topics["deadletters"], "partition": bad["partition"], "offset": bad["offset"]}
    assert again["replayed"] == {"count": 1, **stood}
    assert "1 of them had been replayed and failed again" in deadletters(stage, "list")

    stage.await_lag_gone(worker)
    worker.terminate()
    mended = stage.usecase.read_text().replace("max: 1000,", "max: 2000,").replace("< 500", "< 5000")
    stage.usecase.write_text(mended)
    stage.score(models=False)
    said = deadletters(stage, "replay", "--yes")
    assert f"{written(bad)} stays: it was replayed before, and failed again as {written(again)}" in said
    assert f"1 go (1 to {events}), 1 stay" in said
    stage.outputs.await_one(lambda p: p.data["event_id"] == "v1", "the prediction of the mended record")
    stage.outputs.read_to_end()
    assert len(stage.outputs.letters) == 2
    (prediction,) = stage.outputs.predictions
    assert (prediction.of[0], prediction.key) == (partition, b"Ada")


def test_letters_of_a_key_come_back_in_their_order_and_a_cut_one_stays(stage: Stage) -> None:
    worker = stage.score("rejects.share_max=1", models=False)
    sent = [bad_weight(f"v{n}", "abc"[n % 3]) for n in range(300)]
    too_large = Record(b"a", b'{"unknown": "' + b"x" * 1_050_000)
    stage.sender.send(stage.topics["events"], [*sent, too_large])
    stage.outputs.await_letters(301)
    worker.terminate()  # so that what comes back stays there, to be seen
    assert "stays: it was cut to fit the topic" in deadletters(stage, "replay", "--dry-run")
    unasked = CliRunner().invoke(app, ["replay", *flags(stage)])
    assert unasked.exit_code == ExitCode.CONFIGURATION
    assert "give --yes to send them" in unasked.stderr
    assert replayed(stage) == []
    assert "100 go" in deadletters(stage, "replay", "--yes", "--limit", "100")
    whole = sorted(place_of(line) for line in listed(stage, "--limit", "0") if not line["cut"])
    partition, offset = whole[99]
    said = deadletters(stage, "replay", "--yes", "--after", f"{partition}:{offset}")
    assert "200 go" in said
    back = replayed(stage)
    for person in (b"a", b"b", b"c"):
        values = [value for key, value, _ in back if key == person]
        assert values == [record.value for record in sent if record.key == person]
    assert [own for _, _, own in back] == [OWN] * 300


def test_what_cannot_be_done_is_said_with_its_mend(stage: Stage) -> None:
    with pytest.raises(Fatal, match="there is no dead letter at 7:1, partition 7 holds nothing"):
        deadletters(stage, "show", "7:1")
    with pytest.raises(ConfigurationError, match="holds no events"):
        deadletters(stage, "replay", "--to", stage.topics["labels"])
    for arguments, said in (
        (["show", "seven"], "is not PARTITION:OFFSET"),
        (["list", "--since", "soon"], "neither a date nor an ISO 8601 time"),
        (["replay", "--topic-partition", "events"], "is not [TOPIC:]N"),
    ):
        done = CliRunner().invoke(app, [*arguments, *flags(stage)])
        assert done.exit_code == ExitCode.CONFIGURATION
        assert said in done.stderr
    assert "0 dead letters" in deadletters(stage, "list")
    assert "0 go (nowhere), 0 stay" in deadletters(stage, "replay")


def written(line: dict[str, Any]) -> str:
    return f"{line['partition']}:{line['offset']}"


def place_of(line: dict[str, Any]) -> tuple[int, int]:
    return line["partition"], line["offset"]


def replayed(stage: Stage) -> list[tuple[bytes | None, bytes | None, Headers]]:
    """What came back into the events topic: key, value and own headers, in the order of each partition."""
    found = []
    with closing(TopicRanges(KafkaConnection(stage.kafka), stage.topics["events"])) as ranges:
        for records in ranges.read(*ranges.whole()):
            for i in range(len(records)):
                headers = records.headers(i)
                if any(name == "riverrun.replayed.count" for name, _ in headers):
                    own = [pair for pair in headers if not pair[0].startswith("riverrun.")]
                    found.append((records.keys[i], records.values[i], own))
    return found
