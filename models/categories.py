"""``categories.json``: the values of categorical features in the order of their codes, by feature."""

import msgspec

from features.categories import CODES_MAX, Categories, categorical
from features.definition.model import Definition


def encode_categories(categories: Categories) -> bytes:
    return msgspec.json.format(msgspec.json.encode(categories), indent=2) + b"\n"


def decode_categories(definition: Definition, data: bytes) -> Categories:
    """Raises `ValueError` for anything that is not the categories of this definition's features."""
    categories = msgspec.json.decode(data, type=dict[str, tuple[str, ...]])
    wanted = set(categorical(definition))
    for name in sorted(wanted ^ set(categories)):
        which = "does not name the categories of" if name in wanted else "names categories of"
        raise ValueError(f"{which} {name}, which is {'' if name in wanted else 'not '}a categorical feature")
    for name, values in categories.items():
        if len(set(values)) != len(values):
            raise ValueError(f"names a category of {name} twice")
        if len(values) > CODES_MAX:
            raise ValueError(f"names {len(values)} categories of {name}, {CODES_MAX} are the most")
    return categories
