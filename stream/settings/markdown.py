"""docs/settings.md, made from the settings themselves by `python -m stream.settings.markdown`."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import SecretStr

from stream.settings.keys import NAMED_FLAGS, PROPERTIES, SETTINGS, Setting
from stream.transport.kafka.properties import CLIENT_DEFAULTS, CONSUMER_DEFAULTS, OWNED, PRODUCER_DEFAULTS

_INTRODUCTION = """\
# Settings

Every worker reads its settings once, when it starts. A value may stand in four places; the later goes before
the earlier, setting by setting:

1. the default, in the tables below;
2. the file that `--config FILE` names, in YAML: the sections are mappings, `kafka: {group: scorers}`;
3. the environment: `RIVERRUN_`, then the key in capitals with `__` for each dot,
   `RIVERRUN_KAFKA__GROUP=scorers`. An empty variable counts as not set;
4. flags: those in the table of flags, and `--set KEY=VALUE` for all others. `--set KEY=` sets to nothing.

`riverrun config`, with the same flags, prints what is in force and where each value came from. A worker that
finds mistakes names all of them at once, and ends with code 2. Relative paths start at the working directory.

Passwords are best given by the environment or in `kafka.properties_file`: everyone on a machine can read the
command lines of its processes. They are masked in `riverrun config`, messages and logs.

Variables that begin with `RIVERRUN_TEST_`, `RIVERRUN_REQUIRE` and `RIVERRUN_DATA` belong to the tests, and
those that Kubernetes sets for a service whose name begins with `riverrun` (`RIVERRUN_SERVICE_HOST`,
`RIVERRUN_PORT_9400_TCP`) are left alone; any other that is no setting is a mistake.

```yaml
usecase: /etc/riverrun/usecase.yaml
models: /var/lib/riverrun/models
kafka:
  bootstrap_servers: kafka-1:9092,kafka-2:9092
  properties:
    security.protocol: SASL_SSL
    sasl.mechanism: SCRAM-SHA-512
    sasl.username: riverrun           # the password: RIVERRUN_KAFKA__PROPERTIES__SASL_PASSWORD
redis:
  url: rediss://redis:6379/0
  ca_file: /etc/riverrun/redis-ca.pem
```
"""
_PROPERTIES = """\
## Kafka properties

What is under `kafka.properties` goes to librdkafka by its own names, each client getting those that it knows;
`kafka.properties_file` names a file of them, in the format of Java's `.properties`. In the environment `_`
stands for the dots of a name: `RIVERRUN_KAFKA__PROPERTIES__SASL_PASSWORD` is `sasl.password`. A name or a
value that librdkafka does not take is a mistake, and so are these, which the worker decides:

| property | instead |
|---|---|"""

_DEFAULTS = """
These are not librdkafka's own defaults, and may be set otherwise:

| property | default | client |
|---|---|---|"""
_DEFAULTS_OF = (("all", CLIENT_DEFAULTS), ("consumer", CONSUMER_DEFAULTS), ("producer", PRODUCER_DEFAULTS))


def page() -> str:
    """The whole page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield _INTRODUCTION
    yield "## Flags\n\n| flag | setting |\n|---|---|"
    yield from (f"| `{flag}` | `{key}` |" for flag, key in NAMED_FLAGS.items())
    section = None
    for setting in sorted(SETTINGS.values(), key=lambda setting: len(setting.path) > 1):
        if setting.path[0] != section and not (section == "" and len(setting.path) == 1):
            section = setting.path[0] if len(setting.path) > 1 else ""
            yield f"\n## {section or 'At the top'}\n\n| key | default | meaning |\n|---|---|---|"
        yield f"| `{setting.key}` | {_default(setting)} | {setting.description}{_choices(setting)} |"
    yield f"\n{_PROPERTIES}"
    yield from (f"| `{name}` | {mend} |" for name, mend in OWNED.items())
    yield _DEFAULTS
    for client, defaults in _DEFAULTS_OF:
        yield from (f"| `{name}` | `{value}` | {client} |" for name, value in defaults.items())


def _default(setting: Setting) -> str:
    if setting.default in (None, ()) or setting.key == PROPERTIES:
        return ""
    value = setting.default
    if isinstance(value, SecretStr):
        return f"`{value.get_secret_value()}`"
    return f"`{value}`" if isinstance(value, str | Path) else str(value)


def _choices(setting: Setting) -> str:
    annotation: Any = setting.annotation
    if get_origin(annotation) is not Literal:
        return ""
    return " One of " + ", ".join(f"`{choice}`" for choice in get_args(annotation)) + "."


if __name__ == "__main__":
    sys.stdout.write(page())
