"""A bundle that answers by compiled code, and why one may not."""

from dataclasses import replace

from models.bundle import MODEL, Bundle
from models.compiled.code import CodeRefused, CompiledScorer
from models.compiled.parity import difference, probes
from models.compiled.text import Forest, NotKnown, parse
from models.manifest import sha256
from models.scorer import output_count


class CompiledRefused(Exception):
    """The code does not say what LightGBM says, or is none. LightGBM must go on answering."""


class NotSupported(Exception):
    """A model that is left to LightGBM. The text says why."""


def forest_of(bundle: Bundle) -> Forest:
    """The model as it was verified. Raises `NotSupported` for a kind that is not compiled, and OSError."""
    data = (bundle.path / MODEL).read_bytes()
    if sha256(data) != bundle.digest:
        raise NotSupported(f"{bundle.path / MODEL} is not what it was when it was loaded")
    try:
        return parse(data.decode())
    except NotKnown as error:
        raise NotSupported(str(error)) from error
    except (ValueError, LookupError) as error:
        raise NotSupported(f"its text cannot be read: {error!r}") from error


def activate(bundle: Bundle, code: bytes) -> Bundle:
    """The bundle, answering by `code` from the cache or from a compilation; LightGBM goes on explaining.

    Raises `CompiledRefused` where any score of the golden cases or of the probes differs by a bit, and what
    `forest_of` raises.
    """
    forest = forest_of(bundle)
    try:
        scorer = CompiledScorer(code, len(bundle.definition.feature_names), output_count(bundle.definition))
    except CodeRefused as error:
        raise CompiledRefused(f"the compiled code cannot be loaded: {error}") from error
    differs = difference(bundle.scorer, scorer, probes(forest, bundle.golden))
    if differs:
        raise CompiledRefused(differs)
    compiled = replace(bundle, scorer=scorer, is_compiled=True)
    compiled.warm()
    return compiled
