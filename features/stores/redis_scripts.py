"""What must be compared and written in one step, in Lua: a few microseconds of Redis each."""

import hashlib
from dataclasses import dataclass

from features.store import HEAD_BYTES


@dataclass(frozen=True, slots=True)
class Script:
    """Runs on one key and returns 1 where it wrote."""

    text: bytes

    @property
    def sha(self) -> str:
        return hashlib.sha1(self.text, usedforsecurity=False).hexdigest()


ADVANCE = Script(b"""
local stored = redis.call('GET', KEYS[1])
if stored then
    local read, there = pcall(cjson.decode, stored)
    if read and type(there) == 'table' and there.epoch == ARGV[2]
            and type(there.offset) == 'number' and there.offset > tonumber(ARGV[3]) then
        return 0
    end
end
redis.call('SET', KEYS[1], ARGV[1])
return 1
""")
"""Progress, its epoch, its offset."""

REPLACE = Script(
    b"""
if redis.call('STRLEN', KEYS[1]) ~= tonumber(ARGV[1])
        or redis.call('GETRANGE', KEYS[1], 0, %d) ~= ARGV[2] then
    return 0
end
if ARGV[4] == '' then
    redis.call('SET', KEYS[1], ARGV[3], 'KEEPTTL')
else
    redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
end
return 1
"""
    % (HEAD_BYTES - 1)
)
"""The length seen, the head seen, the new value, its time to live or nothing."""
