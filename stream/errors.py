"""What can go wrong outside our own code, and the exit code that tells a supervisor.

    Exception
    ├── Retryable                     the outside world failed; the same call may succeed later
    ├── Aborted                       nothing of a transaction stands: its records are passed again
    ├── Fenced                        this client may not go on, and a new one may                exit 5
    ├── Fatal                         nobody but a person can mend it; the worker stops           exit 3
    ├── ConfigurationError            settings, all mistakes at once                              exit 2
    ├── features.definition.DefinitionError   the use case file, all mistakes at once             exit 2
    ├── models.BundleRefused          a model version that must not answer                        exit 2
    └── features.store.StoreUnavailable, StoreRejected   the online store: absorbed by the breaker,
                                      or turned into Fatal by the worker

A bad record is none of these: it is a value, `stream.pipeline.rejected.Rejected`. Anything else that
is raised is a bug of ours and crashes with its traceback (exit 1).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum, StrEnum


class ExitCode(IntEnum):
    """How a command ends. A shell adds 130 for Ctrl-C and 137 for kill -9."""

    OK = 0
    FAILED = 1
    """A check said no (a demo that lost an event), or a bug of ours with its traceback."""
    CONFIGURATION = 2
    """Flags, settings, use case or bundle: starting again unchanged ends the same."""
    FATAL = 3
    """Stopped at run time by something only a person can mend."""
    STALLED = 4
    """The watchdog saw lag and no progress; the stacks are on stderr. Starting again may help."""
    FENCED = 5
    """Another took this producer's place, Kafka gave up its transaction, or a client lost all its brokers:
    nothing is lost. Start again."""


class Retryable(Exception):
    """The outside world failed in a way that passes: try the same call again."""


class AbortCause(StrEnum):
    """Why nothing of a transaction stands."""

    GROUP_MOVED = "group_moved"  # the group refused the offsets: its members are others by now
    PARTITIONS_LEFT = "partitions_left"  # it holds outputs of partitions that are another worker's by now
    UNDELIVERED = "undelivered"  # an output could not be delivered
    TIMED_OUT = "timed_out"  # outputs or offsets took longer than a transaction may
    TORN = "torn"  # something was raised while a batch was being produced
    REFUSED = "refused"  # Kafka said so, for another reason


class Aborted(Exception):
    """Nothing of the transaction stands, and none is open: pass its records again."""

    def __init__(self, cause: AbortCause, text: str) -> None:
        super().__init__(text)
        self.cause = cause


class Fenced(Exception):
    """This client of Kafka may not go on; one that starts again may. The text says why."""


class Fatal(Exception):
    """The worker must stop. The text names the place, the cause and the mend."""


@dataclass(frozen=True, slots=True)
class SettingProblem:
    """One mistake in the settings."""

    key: str
    """The setting's path: ``kafka.bootstrap_servers``."""
    origin: str
    """Where the value came from: ``riverrun.yaml:7``, ``RIVERRUN_KAFKA__…``, ``--kafka``."""
    cause: str
    mend: str

    def __str__(self) -> str:
        return f"{self.key} (from {self.origin}): {self.cause}; {self.mend}"


class ConfigurationError(Exception):
    """The settings cannot be used; `problems` holds every mistake found."""

    def __init__(self, problems: Iterable[SettingProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))
