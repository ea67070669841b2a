"""Where the shipped use cases are: in a wheel `usecases/` beside this file, in a checkout `examples/`."""

from pathlib import Path

_SHIPPED = Path(__file__).parent / "usecases"
_CHECKOUT = Path(__file__).resolve().parents[2] / "examples"


def folder() -> Path:
    """The folder that holds one folder for each example."""
    return _SHIPPED if _SHIPPED.is_dir() else _CHECKOUT


def names() -> list[str]:
    """What `path` accepts: `fraud` for fraud/usecase.yaml, `fraud/other` for fraud/other.yaml."""
    files = (file.relative_to(folder()).with_suffix("") for file in folder().glob("*/*.yaml"))
    return sorted(str(file.parent) if file.name == "usecase" else str(file) for file in files)


def path(name: str) -> Path:
    """The definition file of an example; raises LookupError, naming those there are."""
    if name not in names():
        raise LookupError(f"no example is called {name!r}; there are: {', '.join(names())}")
    whole = folder() / name
    return whole / "usecase.yaml" if whole.is_dir() else whole.with_suffix(".yaml")
