"""A small use case whose sections tests replace, and what the reader says of the result."""

from features.definition import Definition, DefinitionError, Problem, parse_definition

SECTIONS = {
    "name": "orders",
    "task": "binary",
    "event": """
  id: order_id
  time: {field: placed_at, unit: ms}
  fields:
    order_id: string
    placed_at: timestamp
    buyer: string
    shop: int64
    price: float64
    gift: bool
    kind: string""",
    "entities": "{buyer: buyer, shop: shop}",
    "label": "{field: returned, delay: 7d}",
    "features": "[{fields: [price]}]",
    "rules": "[{otherwise: 0.5}]",
    "decisions": "[{otherwise: accept}]",
}

SEQUENCE = {
    "event": """
  id: [pump, cycle]
  time: {sequence: cycle, per: pump}
  fields: {pump: string, plant: string, cycle: int64, pressure: float64, broken: bool}""",
    "entities": "{pump: pump, plant: plant}",
    "label": "{time_to: broken, within: 30 events}",
    "features": "[{fields: [pressure]}]",
}

REGRESSION = {
    **SEQUENCE,
    "task": "regression",
    "label": "{time_to: end_of_entity}",
    "rules": "[{otherwise: 9}]",
}

CLASSES = {
    "task": "multiclass",
    "label": "{field: size, classes: [small, large]}",
    "rules": "[{otherwise: [0.4, 0.6]}]",
}


def text_of(**sections: str | None) -> str:
    """The use case with sections replaced; None takes one out. Each section begins on a line of its own."""
    chosen = {**SECTIONS, **sections}
    return "".join(f"{name}: {text}\n" for name, text in chosen.items() if text is not None)


def read(**sections: str | None) -> Definition:
    return parse_definition(text_of(**sections), "orders.yaml")


def problems_of(text: str | bytes) -> list[Problem]:
    """What is wrong with a text; empty where nothing is."""
    try:
        parse_definition(text.decode() if isinstance(text, bytes) else text, "f")
    except DefinitionError as error:
        return list(error.problems)
    return []


def problems(**sections: str | None) -> list[str]:
    """What is wrong, each as ``text: cause; mend``, without its place."""
    found = problems_of(text_of(**sections))
    return [f"{problem.text}: {problem.cause}; {problem.mend}" for problem in found]


def windows(window: str, **sections: str | None) -> Definition:
    """The use case with one window as its only features."""
    return read(**{**sections, "features": f"[{{window: {{{window}}}}}]"})


def window_problems(window: str, **sections: str | None) -> list[str]:
    return problems(**{**sections, "features": f"[{{window: {{{window}}}}}]"})
