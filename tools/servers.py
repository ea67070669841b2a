"""`make kafka-up` and `make kafka-down`: Kafka and Redis in the background, for people."""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from tools.kafka_jars import NoKafka
from tools.kafka_server import KafkaServer
from tools.processes import ServerDidNotStart, end_pid, started
from tools.redis_server import NoRedisServer, RedisServer

HOME = Path(__file__).resolve().parents[1] / "build" / "servers"
STATE = HOME / "running.json"

HOW_TO = """
  bootstrap  {bootstrap}
  redis      {redis}

  .venv/bin/riverrun demo --kafka {bootstrap} --redis {redis}
  RIVERRUN_TEST_KAFKA={bootstrap} RIVERRUN_TEST_REDIS={redis} make test
  make kafka-down
"""


@dataclass(frozen=True, slots=True)
class Running:
    """A server left in the background: its process, and where clients reach it."""

    pid: int
    since: str
    port: int
    address: str

    @property
    def alive(self) -> bool:
        """Whether that process still runs and is one of ours."""
        return started(self.pid) == self.since


def up() -> int:
    """Start what does not run yet, print where it is; data and ports of an earlier time are kept."""
    before = _read()
    HOME.mkdir(parents=True, exist_ok=True)
    try:
        running = {name: _ensure(name, before.get(name)) for name in ("kafka", "redis")}
    except (NoKafka, NoRedisServer, ServerDidNotStart) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(HOW_TO.format(bootstrap=running["kafka"].address, redis=running["redis"].address))
    return 0


def down() -> int:
    """Stop what `up` started and nothing else."""
    for name, server in _read().items():
        if server.alive:
            print(f"stopping {name} (pid {server.pid})")
            end_pid(server.pid, server.since)
    return 0


def _ensure(name: str, before: Running | None) -> Running:
    if before is not None and before.alive:
        print(f"{name} runs already (pid {before.pid})")
        return before
    print(f"starting {name}", flush=True)
    port = before.port if before is not None else None
    server: KafkaServer | RedisServer
    if name == "kafka":
        server = KafkaServer(HOME / name, port=port)
        server.start()
        address = server.bootstrap
    else:
        server = RedisServer(HOME / name, {"appendonly": "yes"}, port=port)
        server.start()
        address = server.url
    assert server.process is not None
    pid = server.process.pid
    running = Running(pid, started(pid) or "", server.port, address)
    server.process.returncode = 0  # it outlives this process on purpose; Popen need not warn about it
    _write({**_read(), name: running})
    return running


def _read() -> dict[str, Running]:
    if not STATE.exists():
        return {}
    return {name: Running(**fields) for name, fields in json.loads(STATE.read_text()).items()}


def _write(running: dict[str, Running]) -> None:
    STATE.write_text(json.dumps({name: asdict(server) for name, server in running.items()}, indent=2) + "\n")


if __name__ == "__main__":
    commands = {"up": up, "down": down}
    if sys.argv[1:] not in ([name] for name in commands):
        sys.exit("usage: python -m tools.servers up|down")
    sys.exit(commands[sys.argv[1]]())
