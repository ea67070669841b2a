"""One target under atheris, which steers by the branches that inputs reach: python -m tests.fuzz.guided.

Run by `tests.fuzz` with a directory of inputs, and libFuzzer's own flags. The product, PyYAML and sqlglot are
instrumented as they are imported.
"""

import logging
import sys
import warnings

import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]  # only `make fuzz` installs it

INSTRUMENTED = ["features", "models", "stream", "yaml", "sqlglot"]


def main() -> None:
    name, *flags = sys.argv[1:]
    warnings.simplefilter("error")  # as in the tests
    logging.disable()
    with atheris.instrument_imports(include=INSTRUMENTED):
        from tests.fuzz.catalog import TARGETS  # noqa: PLC0415  here its imports are instrumented
    target = TARGETS[name]
    target.ready()
    atheris.Setup([f"fuzz {name}", *flags], target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
