"""The use case of the fault harness: features that show at once when an event is missed, or counted twice.

Weights are multiples of 2⁻¹⁰ and small, so that their sums are exact in float64 in whatever order, and tell
which events are in them.
"""

TEXT = """
name: NAME
task: binary
event:
  id: visit
  time: {field: at, unit: ms}
  fields:
    visit: string
    at: timestamp
    person: string
    door: {type: string, missing: allow}
    weight: {type: float64, min: 0, max: 1000, missing: reject, out_of_range: reject}
entities: {person: person, door: door}
label: {field: bad, delay: 5000ms}
grace: 20s
history: none
features:
  - fields: [weight]
  - window: {entity: person, spans: [1m], aggregates: [count, sum(weight)]}
  - window: {entity: person, spans: [5 events], aggregates: [sum(weight)]}
  - window: {entity: door, spans: [1m], delay: 10s, aggregates: [count, sum(weight)], empty: 0}
rules:
  - {when: "weight > 5", score: 0.9, reason: heavy}
  - {otherwise: 0.1}
decisions:
  - {when: "score > 0.5", decision: stop}
  - {otherwise: go}
output: {include: [weight], features: all}
training: {rounds: 5, parameters: {num_leaves: 4, min_child_samples: 20}}
"""

FEATURES = (
    "weight",
    "person_count_1m",
    "person_sum_weight_1m",
    "person_sum_weight_5_events",
    "door_count_1m_delay_10s",
    "door_sum_weight_1m_delay_10s",
)
"""As the definition names them, in model order; a test holds them against it."""
SPAN_MS = 60_000
LAST = 5
DOOR_DELAY_MS = 10_000
GRACE_MS = 20_000
EXACT = 256
"""So many entries of a row are kept one by one."""
RESOLUTION_MS = 100
FUTURE_LIMIT_MS = 3_600_000


def rule_of(weight: float) -> float:
    """The score that the rules give."""
    return 0.9 if weight > 5 else 0.1
