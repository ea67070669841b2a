"""The log: one JSON object a line on stderr, or lines for people. Never a line per event.

Modules write `log = structlog.get_logger()` and `log.info("batch_sizes_changed", events=500)`: an event
name that does not change, and what changes as fields. What libraries log through `logging` (librdkafka's
own lines under the name ``librdkafka``) comes out the same way. Values under secret names are masked.
"""

import logging
import re
import sys
from typing import Literal, TextIO, TypeAlias

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

Level: TypeAlias = Literal["debug", "info", "warning", "error"]
Format: TypeAlias = Literal["json", "console"]

MASK = "***"
_SECRET = re.compile(r"password|passphrase|secret|token|private|credential|(^|[._-])pem$", re.IGNORECASE)
_IN_URL = re.compile(r"(?<=://)([^/@\s:]*):[^/@\s]+@")


def mask_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Mask values under secret names, at any depth, and passwords in URLs."""
    return {name: _masked(name, value) for name, value in event.items()}


def configure(level: Level, log_format: Format, stream: TextIO | None = None) -> None:
    """Send everything to `stream` (stderr). May be called again: the last call counts."""
    output = stream if stream is not None else sys.stderr
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    rendered = _for_machines() if log_format == "json" else _for_people(output.isatty())
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendered],
    )
    handler = logging.StreamHandler(output)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def _for_machines() -> list[Processor]:
    tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)  # they hold people's data
    return [
        structlog.processors.ExceptionRenderer(tracebacks),
        mask_secrets,
        structlog.processors.JSONRenderer(default=str),
    ]


def _for_people(colors: bool) -> list[Processor]:
    plain = structlog.dev.plain_traceback  # the default one shows the values of variables
    return [mask_secrets, structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain)]


def _masked(name: str, value: object) -> object:
    if isinstance(value, dict):
        return {inner: _masked(str(inner), below) for inner, below in value.items()}
    if _SECRET.search(name) and value is not None:
        return MASK
    if isinstance(value, list | tuple):
        return [_masked(name, item) for item in value]
    return _IN_URL.sub(rf"\1:{MASK}@", value) if isinstance(value, str) else value
