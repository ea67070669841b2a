"""What a piece of machine code was made of, by what, and for which processor."""

import hashlib
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version

import msgspec

REVISION = 1
"""Of how code is made and called here: count it up with every change to that, so that old code is foreign."""

EXTRA = "compiled"


class NotInstalled(Exception):
    """The extra that compiling needs is not there; the text says so."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Code is used only where all of this is the same."""

    model: str
    """The SHA-256 of ``model.txt``."""
    llvmlite: str
    processor: str
    """The target's triple, the processor's name and what it can do."""
    revision: int = REVISION

    @property
    def name(self) -> str:
        """A file name of its own."""
        all_of_it = hashlib.sha256(msgspec.json.encode(asdict(self))).hexdigest()
        return f"{self.model[:16]}-{all_of_it[:16]}"


def identity_of(model_digest: str) -> Identity:
    """Of code for this model, made and run here. Raises `NotInstalled`."""
    try:
        llvmlite = version("llvmlite")
        from models.compiled.code import processor  # noqa: PLC0415  an extra, which costs a worker 0.1 s
    except (PackageNotFoundError, ImportError) as error:
        why = f"llvmlite is not installed: pip install 'riverrun[{EXTRA}]'"
        raise NotInstalled(why) from error
    return Identity(model_digest, llvmlite, processor())
