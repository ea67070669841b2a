"""How a command ends that cannot go on: plain lines on stderr and a code, or a traceback for a bug."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from stream.errors import ExitCode

EXITS: Mapping[str, ExitCode] = {
    "features.definition.problems.DefinitionError": ExitCode.CONFIGURATION,
    "features.past.history.HistoryError": ExitCode.CONFIGURATION,
    "features.lookup.table.LookupTableError": ExitCode.CONFIGURATION,
    "features.store.StoreRejected": ExitCode.FATAL,
    "features.store.StoreUnavailable": ExitCode.FATAL,
    "models.bundle.BundleRefused": ExitCode.CONFIGURATION,
    "models.compiled.cache.CacheUnusable": ExitCode.CONFIGURATION,
    "models.compiled.identity.NotInstalled": ExitCode.CONFIGURATION,
    "models.deployment.DeploymentError": ExitCode.CONFIGURATION,
    "models.threads.SystemLibraryMissing": ExitCode.CONFIGURATION,
    "models.training.run.TrainingError": ExitCode.CONFIGURATION,
    "stream.demo.options.DemoError": ExitCode.CONFIGURATION,
    "stream.errors.ConfigurationError": ExitCode.CONFIGURATION,
    "stream.errors.Fatal": ExitCode.FATAL,
    "stream.errors.Fenced": ExitCode.FENCED,
    "stream.errors.Retryable": ExitCode.FATAL,
}
"""By name, because importing them all would load every library for every command."""

EXTRAS: Mapping[str, str] = {"llvmlite": "compiled", "psutil": "demo", "pyarrow": "train", "sklearn": "train"}
"""Which extra of ours brings a package."""


@contextmanager
def ending_in_words() -> Iterator[None]:
    """Turn what a person can mend into its text and exit code; everything else passes through."""
    try:
        yield
    except Exception as error:
        ending = _ending(error)
        if ending is None:
            raise
        text, code = ending
        sys.stderr.write(f"{text}\n")
        sys.exit(code)


def _ending(error: Exception) -> tuple[str, ExitCode] | None:
    if isinstance(error, ModuleNotFoundError):
        package = (error.name or "").partition(".")[0]
        if package in EXTRAS:
            mend = f"pip install 'riverrun[{EXTRAS[package]}]'"
            return f"{package} is not installed; this command needs it: {mend}", ExitCode.CONFIGURATION
    for kind in type(error).__mro__:
        code = EXITS.get(f"{kind.__module__}.{kind.__qualname__}")
        if code is not None:
            return str(error), code
    return None
