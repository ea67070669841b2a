"""What Redis says when it refuses, sorted by whether trying again can help."""

import re
import traceback

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
_A_CLUSTER = "this is a node of a cluster: write redis+cluster:// for redis:// in redis.url"
_MENDS = {
    "OOM": "Redis is full: raise its maxmemory or shorten windows",
    "READONLY": "this is a replica: name the master's address in redis.url, or its sentinels",
    "NOAUTH": "set redis.password",
    "WRONGPASS": "check redis.username and redis.password",
    "NOPERM": "grant the Redis user this command and these keys",
    "WRONGTYPE": "another program uses our key",
    "NOPROTO": "Redis 6.2 or newer is needed",
    "MOVED": _A_CLUSTER,
    "ASK": _A_CLUSTER,
    "CROSSSLOT": _A_CLUSTER,
}
_MENDS_AT_SENTINELS = _MENDS | {
    "NOAUTH": "set redis.sentinel_password",
    "WRONGPASS": "check redis.sentinel_username and redis.sentinel_password",
    "NOPERM": "grant the sentinels' user this command",
}
_NO_CLUSTER = "cluster support disabled"
_TEXT_MAX = 200


def refusal(text: str, by_sentinel: bool = False) -> StoreUnavailable | StoreRejected:
    """The exception for an error reply of Redis (``CODE rest``).

    What follows ``with args beginning with`` are the bytes we sent, so it is left out. A code that
    nobody knows may pass: `StoreUnavailable`.
    """
    said = re.split(r",? with args beginning with", text, maxsplit=1)[0][:_TEXT_MAX]
    for_now = _FOR_NOW.search(said)
    code = (for_now and for_now.group(1)) or said.partition(" ")[0]
    mend = (_MENDS_AT_SENTINELS if by_sentinel else _MENDS).get(code)
    if _NO_CLUSTER in said:
        mend = "this is a server of its own: write redis:// for redis+cluster:// in redis.url"
    message = f"{said} ({mend})" if mend else said
    if not for_now and code in _FOR_GOOD:
        return StoreRejected(message)
    return StoreUnavailable(message)


def connect_failure(error: Exception, by_sentinel: bool = False) -> StoreUnavailable | StoreRejected:
    """The exception for what redis-py raised while it connected and logged in.

    In redis-py a frame and the error that it raised hold each other, and everything that its callers
    hold; they are parted here.
    """
    cause: BaseException | None = error
    while cause is not None:
        traceback.clear_frames(cause.__traceback__)
        cause = cause.__context__
    code: str | None = getattr(error, "status_code", None)  # redis-py takes the code off the text
    if code is not None:
        return refusal(f"{code} {error}", by_sentinel)
    if isinstance(error, redis.exceptions.ResponseError | redis.exceptions.AuthenticationError):
        return refusal(str(error), by_sentinel)
    if isinstance(error, redis.exceptions.TimeoutError):
        return StoreTimeout(str(error))
    return StoreUnavailable(str(error))
