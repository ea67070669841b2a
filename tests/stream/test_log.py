"""Every line, ours or a library's, comes out in one form and without secrets."""

import io
import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from stream.log import Format, Level, configure


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where the log goes; afterwards logging is as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield io.StringIO()
    root.handlers, root.level = handlers, level
    logging.captureWarnings(False)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_json_object_with_time_and_level(stream: io.StringIO) -> None:
    configure("info", "json", stream)
    structlog.get_logger("stream.tests").info("ready", port=9400)
    (line,) = lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "ready", "level": "info", "logger": "stream.tests", "port": 9400}


def test_a_librarys_line_comes_out_in_the_same_form(stream: io.StringIO) -> None:
    configure("info", "json", stream)
    logging.getLogger("librdkafka").warning("%s: %d brokers are down", "CONNECT", 2)
    (line,) = lines(stream)
    assert (line["event"], line["level"], line["logger"]) == (
        "CONNECT: 2 brokers are down",
        "warning",
        "librdkafka",
    )


@pytest.mark.parametrize(
    ("level", "shown"),
    [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)],
)
def test_what_is_below_the_level_is_left_out(stream: io.StringIO, level: Level, shown: int) -> None:
    configure(level, "json", stream)
    for logger in (structlog.get_logger(), logging.getLogger("librdkafka")):
        logger.debug("a")
        logger.info("b")
        logger.warning("c")
        logger.error("d")
    assert len(lines(stream)) == 2 * shown


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_secrets_are_masked_at_any_depth_and_in_urls(stream: io.StringIO, log_format: Format) -> None:
    configure("info", log_format, stream)
    structlog.get_logger().info(
        "connecting",
        password="hunter2",
        redis="redis://user:hunter2@host:1/0",
        properties={"sasl.password": "hunter2", "ssl.key.pem": "hunter2", "sasl.username": "bob"},
        several=[{"api_token": "hunter2"}, ("redis://:hunter2@h",)],
    )
    logging.getLogger("librdkafka").error("cannot reach redis://user:hunter2@host")
    text = stream.getvalue()
    assert "hunter2" not in text
    assert "bob" in text
    assert "redis://user:***@host:1/0" in text


def test_an_exception_is_one_line_with_its_traceback(stream: io.StringIO) -> None:
    configure("info", "json", stream)
    try:
        raise LookupError("lost")
    except LookupError:
        structlog.get_logger().exception("failed")
    (line,) = lines(stream)
    assert (line["exception"][0]["exc_type"], line["exception"][0]["exc_value"]) == ("LookupError", "lost")


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_traceback_shows_no_values_of_variables(stream: io.StringIO, log_format: Format) -> None:
    configure("info", log_format, stream)
    customer = "c-" + "4711"
    try:
        raise LookupError(f"lost {len(customer)}")
    except LookupError:
        structlog.get_logger().exception("failed")
    assert "lost 6" in stream.getvalue()
    assert "c-4711" not in stream.getvalue()


def test_a_value_that_json_does_not_know_is_written_as_its_text(stream: io.StringIO) -> None:
    configure("info", "json", stream)
    structlog.get_logger().info("odd", value={1})
    assert lines(stream)[0]["value"] == "{1}"


def test_warnings_go_to_the_log(stream: io.StringIO) -> None:
    configure("info", "json", stream)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)  # catch_warnings puts its own in place
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    assert "DeprecationWarning: old" in lines(stream)[0]["event"]


def test_the_last_configuration_counts(stream: io.StringIO) -> None:
    configure("debug", "console", io.StringIO())
    log = structlog.get_logger()
    log.info("before")
    configure("info", "json", stream)
    log.debug("hidden")
    log.info("after")
    assert [line["event"] for line in lines(stream)] == ["after"]
