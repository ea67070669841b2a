"""What Redis says when it refuses, sorted by whether trying again can help."""

import re

import redis.exceptions

from features.store import StoreRejected, StoreTimeout, StoreUnavailable

_FOR_NOW = re.compile(
    r"\b(LOADING|READONLY|OOM|BUSY|MASTERDOWN|CLUSTERDOWN|MISCONF|NOREPLICAS|TRYAGAIN|UNKILLABLE)\b"
    r"|max number of clients|max clients"
)
"""Anywhere in the text: Redis 6.2 wraps the refusal of a command inside a script in a text of its own."""
_FOR_GOOD = frozenset(
    {"NOAUTH", "WRONGPASS", "NOPERM", "WRONGTYPE", "NOPROTO", "CROSSSLOT", "MOVED", "ASK", "ERR"}
)
_MENDS = {
    "OOM": "Redis is full: raise maxmemory or shorten windows",
    "READONLY": "this is a replica: name the master's address",
    "NOAUTH": "set the Redis password",
    "WRONGPASS": "check the Redis user and password",
    "NOPERM": "grant the Redis user this command and these keys",
    "WRONGTYPE": "another program uses our key",
    "NOPROTO": "Redis 6.2 or newer is needed",
    "MOVED": "Redis clusters are not supported yet",
    "ASK": "Redis clusters are not supported yet",
    "CROSSSLOT": "Redis clusters are not supported yet",
}
_TEXT_MAX = 200


def refusal(text: str) -> StoreUnavailable | StoreRejected:
    """The exception for an error reply of Redis (``CODE rest``).

    What follows ``with args beginning with`` are the bytes we sent, so it is left out. A code that
    nobody knows may pass: `StoreUnavailable`.
    """
    said = re.split(r",? with args beginning with", text, maxsplit=1)[0][:_TEXT_MAX]
    for_now = _FOR_NOW.search(said)
    code = (for_now and for_now.group(1)) or said.partition(" ")[0]
    message = f"{said} ({_MENDS[code]})" if code in _MENDS else said
    if not for_now and code in _FOR_GOOD:
        return StoreRejected(message)
    return StoreUnavailable(message)


def connect_failure(error: Exception) -> StoreUnavailable | StoreRejected:
    """The exception for what redis-py raised while it connected and logged in."""
    code: str | None = getattr(error, "status_code", None)  # redis-py takes the code off the text
    if code is not None:
        return refusal(f"{code} {error}")
    if isinstance(error, redis.exceptions.ResponseError | redis.exceptions.AuthenticationError):
        return refusal(str(error))
    if isinstance(error, redis.exceptions.TimeoutError):
        return StoreTimeout(str(error))
    return StoreUnavailable(str(error))
