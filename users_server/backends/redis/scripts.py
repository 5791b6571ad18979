"""
What Redis does in one step.

**History.** The stream's ids are ``SERIAL-MILLISECOND``. Serials count on for as long as the hash ``meta`` lives; an
epoch begins behind the serial ``base``, and the offset is the distance from it. What is too much or too old is cut
off in lumps, since that costs Redis less, and is never read. Where another start of a Redis server writes (``server``
differs), it may have lost what came last, and would give its offsets out again: so a new epoch begins, which
remembers the one ``before`` it. A position of that epoch still is good, unless a node has seen one that this Redis
does not know: then the two are cut apart.

**Repetition.** Each publication has its node's start and a number that grows. The number of each node's last one is
kept for a while, so that one whose answer was lost can be sent again. ``after`` is the number of the publication that
must have been done before, if that is not certain yet: so none overtakes another one that Redis refused.

**Presence.** The last change is kept, for a node that has missed it or more: its version tells which. A claim is
``SEQUENCE OWNER LENGTH USERMEMBER``, where the owner is the lease that it rests on.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from users_server.backends.redis.requests import Command

_COMMON = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function text(number) return string.format('%.0f', number) end
local function new_epoch(node)
    return string.sub(node, 1, 6) .. string.format('%08x%05x', time[1], time[2])
end
local DAY, TEN_MINUTES, MINUTE = 86400000, 600000, 60000
"""

_PUBLISH = """
local server, node, counter, after = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local size, age, data, live = ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local tag, mine = node .. ' ' .. ARGV[3], 'node ' .. node
local fields = {'epoch', 'serial', 'base', 'server', 'before', 'before_base', 'refreshed', mine, 'age', 'size'}
local meta = redis.call('HMGET', KEYS[1], unpack(fields))
local epoch, serial, base = meta[1], tonumber(meta[2]), tonumber(meta[3])
local last = tonumber(string.match(meta[8] or '0', '^%d+'))
if counter <= last then
    local before, before_base = meta[5], tonumber(meta[6] or '0')
    for _, entry in ipairs(redis.call('XREVRANGE', KEYS[2], '+', '-')) do
        if entry[2][2] == tag then
            local at = tonumber(string.match(entry[1], '^(%d+)-'))
            if at > base then return {at - base, epoch} end
            return {at - before_base, before}
        end
    end
    return {0, ''}
end
if after > last then return redis.error_reply('OUTOFORDER an earlier publication was refused') end
if not epoch then
    epoch, serial, base = new_epoch(node), 0, 0
    redis.call('DEL', KEYS[1], KEYS[2])
    redis.call('HSET', KEYS[1], 'epoch', epoch, 'base', 0, 'server', server)
elseif meta[4] ~= server then
    redis.call('XTRIM', KEYS[2], 'MINID', text(base + 1))
    redis.call('HSET', KEYS[1], 'before', epoch, 'before_base', text(base))
    epoch, base = new_epoch(node), serial
    redis.call('HSET', KEYS[1], 'epoch', epoch, 'base', text(base), 'server', server)
end
serial = serial + 1
redis.call('XADD', KEYS[2], 'MAXLEN', '~', size, text(serial) .. '-' .. text(now), 't', tag, 'd', data)
redis.call('HSET', KEYS[1], 'serial', text(serial), mine, ARGV[3] .. ' ' .. text(now))
if serial % 64 == 0 then
    local function last_stale(count)
        local stale
        for _, entry in ipairs(redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', count)) do
            if tonumber(string.match(entry[1], '-(%d+)$')) >= now - tonumber(age) then break end
            stale = tonumber(string.match(entry[1], '^(%d+)-'))
        end
        return stale
    end
    local stale = last_stale(1) and last_stale(128)
    if stale then redis.call('XTRIM', KEYS[2], 'MINID', text(stale + 1)) end
end
if meta[9] ~= age or meta[10] ~= size or math.abs(now - tonumber(meta[7] or '0')) > MINUTE then
    redis.call('HSET', KEYS[1], 'refreshed', text(now), 'age', age, 'size', size)
    redis.call('PEXPIRE', KEYS[2], text(age + 2 * MINUTE))
    redis.call('PEXPIRE', KEYS[1], text(age + DAY))
    local all = redis.call('HGETALL', KEYS[1])
    for at = 1, #all, 2 do
        local used = string.sub(all[at], 1, 5) == 'node ' and string.match(all[at + 1], ' (%d+)$')
        if used and now - tonumber(used) > MINUTE then redis.call('HDEL', KEYS[1], all[at]) end
    end
end
redis.pcall('$PUBLISH', live, '+' .. text(serial - base) .. ' ' .. epoch .. ' ' .. tag .. ' ' .. data)
return {serial - base, epoch}
"""

_READ = """
local function read()
    local server, node, is_feed, is_kept = ARGV[1], ARGV[2], ARGV[3] == '1', ARGV[4] == '1'
    local offset, since, limit, is_same = tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7]), ARGV[8] == '1'
    local meta = redis.call('HMGET', KEYS[1], 'epoch', 'serial', 'base', 'before', 'before_base', 'age', 'size')
    local epoch, serial, base = meta[1], tonumber(meta[2] or '0'), tonumber(meta[3])
    local before, before_base = meta[4], tonumber(meta[5] or '0')
    if not epoch then
        if not is_kept then return {1, '', 0, {}} end
        epoch = new_epoch(node)
        redis.call('DEL', KEYS[2])
        redis.call('HSET', KEYS[1], 'epoch', epoch, 'base', 0, 'serial', 0, 'server', server)
        redis.call('PEXPIRE', KEYS[1], is_feed and DAY or TEN_MINUTES)
        return {offset < 0 and 1 or 0, epoch, 0, {}}
    end
    local oldest, first_kept = now - tonumber(meta[6] or '0'), serial - tonumber(meta[7] or '0') + 1
    local function serial_and_time(entry)
        local at, millisecond = string.match(entry[1], '^(%d+)-(%d+)$')
        return tonumber(at), tonumber(millisecond)
    end
    local function message(entry)
        local at, from, name = serial_and_time(entry), base, epoch
        if at <= base then from, name = before_base, before end
        return '+' .. text(at - from) .. ' ' .. name .. ' ' .. entry[2][2] .. ' ' .. entry[2][4]
    end
    local messages = {}
    if offset < 0 then
        if limit == 0 then return {1, epoch, serial - base, messages} end
        local found
        if limit < 0 then
            found = redis.call('XREVRANGE', KEYS[2], '+', '-')
        else
            found = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', limit)
        end
        for index = #found, 1, -1 do
            local at, millisecond = serial_and_time(found[index])
            if at >= first_kept and millisecond >= oldest then messages[#messages + 1] = message(found[index]) end
        end
        return {1, epoch, serial - base, messages}
    end
    local start = nil
    if since == epoch then
        start = base + offset
        if start > serial then
            start = nil
            if is_feed then
                redis.call('DEL', KEYS[2])
                redis.call('HDEL', KEYS[1], 'before', 'before_base', 'refreshed')
                epoch, base = new_epoch(node), serial
                redis.call('HSET', KEYS[1], 'epoch', epoch, 'base', text(base), 'server', server)
            end
        end
    elseif before and since == before then
        start = before_base + offset
        if start > base then
            start = nil
            if is_feed then
                redis.call('XTRIM', KEYS[2], 'MINID', text(base + 1))
                redis.call('HDEL', KEYS[1], 'before', 'before_base')
            end
        end
    elseif since == '' and is_same and not before then
        start = base
    end
    if start and start < serial then
        local first = redis.call('XRANGE', KEYS[2], text(start + 1), '+', 'COUNT', 1)[1]
        local at, millisecond
        if first then at, millisecond = serial_and_time(first) end
        if at ~= start + 1 or at < first_kept or millisecond < oldest then start = nil end
    end
    if not start and is_feed then
        start = serial
        for _, entry in ipairs(redis.call('XRANGE', KEYS[2], '-', '+')) do
            local at, millisecond = serial_and_time(entry)
            if at >= first_kept and millisecond >= oldest then
                start = at - 1
                break
            end
        end
        if start < base then return {0, before, start - before_base, messages} end
        return {0, epoch, start - base, messages}
    end
    if not start then return {0, epoch, serial - base, messages} end
    if limit ~= 0 then
        local found
        if limit < 0 then
            found = redis.call('XRANGE', KEYS[2], text(start + 1), '+')
        else
            found = redis.call('XRANGE', KEYS[2], text(start + 1), '+', 'COUNT', limit)
        end
        for index, entry in ipairs(found) do messages[index] = message(entry) end
    end
    return {1, epoch, serial - base, messages}
end
local result = read()
if ARGV[3] == '1' then
    if ARGV[9] == '1' and redis.call('EXISTS', KEYS[3]) == 0 then versions_of(KEYS[3], ARGV[1], ARGV[2], DAY) end
    local presence = redis.call('HMGET', KEYS[3], 'epoch', 'version', 'last')
    for index = 1, 3 do result[4 + index] = presence[index] or '' end
end
return result
"""

_PRESENCE = """
local function versions_of(key, server, node, lifetime)
    local found = redis.call('HMGET', key, 'epoch', 'version', 'server')
    local epoch, version = found[1], tonumber(found[2] or '0')
    if not epoch or found[3] ~= server then
        epoch = new_epoch(node)
        redis.call('HSET', key, 'epoch', epoch, 'version', text(version), 'server', server)
        redis.call('HDEL', key, 'last')
        if lifetime then redis.call('PEXPIRE', key, lifetime) end
    end
    return epoch, version
end
local function parts(claim)
    local sequence, owner, length, from = string.match(claim, '^(%d+) (%S+) (%d+) ()')
    local user = string.sub(claim, from, from + length - 1)
    return sequence, owner, user, string.sub(claim, from + length)
end
local last
local function tell(live, kind, is_of_user, version, epoch, member)
    local flag = is_of_user and '1' or '0'
    last = kind .. flag .. ' ' .. text(version) .. ' ' .. epoch .. ' ' .. member
    redis.pcall('$PUBLISH', live, last)
end
local function keep_version(key, version)
    if last then redis.call('HSET', key, 'version', text(version), 'last', last) end
end
"""

_CHANGE = """
local server, node, counter, owner, live = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local claims, users, versions = KEYS[1], KEYS[2], KEYS[3]
local results, is_done = {}, tonumber(redis.call('GET', KEYS[4]) or '0') >= tonumber(counter)
local epoch, version = versions_of(versions, server, node)
redis.call('SET', KEYS[4], counter, 'PX', MINUTE)
local function add(id, user, member)
    version = version + 1
    redis.call('HSET', claims, id, text(version) .. ' ' .. owner .. ' ' .. #user .. ' ' .. user .. member)
    tell(live, 'j', redis.call('HINCRBY', users, user, 1) == 1, version, epoch, member)
end
local function remove(id, user, member)
    version = version + 1
    redis.call('HDEL', claims, id)
    local left = redis.call('HINCRBY', users, user, -1)
    if left <= 0 then redis.call('HDEL', users, user) end
    tell(live, 'l', left <= 0, version, epoch, member)
end
for at = 6, #ARGV, 5 do
    local kind, id, user, member, most = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], tonumber(ARGV[at + 4])
    local claim = redis.call('HGET', claims, id)
    local sequence, _, claimed_user, claimed_member
    if claim then sequence, _, claimed_user, claimed_member = parts(claim) end
    local result = 0
    if is_done then
        if kind == 'j' and not claim then result = 1 end
    elseif kind == 'j' and claimed_member == member then
        claim = sequence .. ' ' .. owner .. ' ' .. #claimed_user .. ' ' .. claimed_user .. claimed_member
        redis.call('HSET', claims, id, claim)
    elseif kind == 'j' and claim then
        remove(id, claimed_user, claimed_member)
        add(id, user, member)
    elseif kind == 'j' then
        if most > 0 and redis.call('HLEN', claims) >= most then
            result = 1
        else
            add(id, user, member)
        end
    elseif claim then
        remove(id, claimed_user, claimed_member)
    end
    results[#results + 1] = result
end
keep_version(versions, version)
if redis.call('EXISTS', claims) == 1 then redis.call('PERSIST', versions) else redis.call('PEXPIRE', versions, DAY) end
return results
"""

_REAP = """
local server, node, owner, live = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local claims, users, versions = KEYS[1], KEYS[2], KEYS[3]
local found = redis.call('HGETALL', claims)
local epoch, version, removed = nil, nil, 0
for at = 1, #found, 2 do
    local _, claimed_by, user, member = parts(found[at + 1])
    if claimed_by == owner then
        if not epoch then epoch, version = versions_of(versions, server, node) end
        version, removed = version + 1, removed + 1
        redis.call('HDEL', claims, found[at])
        local left = redis.call('HINCRBY', users, user, -1)
        if left <= 0 then redis.call('HDEL', users, user) end
        tell(live, 'l', left <= 0, version, epoch, member)
    end
end
if removed > 0 then
    keep_version(versions, version)
    if redis.call('EXISTS', claims) == 0 then redis.call('PEXPIRE', versions, DAY) end
end
return removed
"""

_STATE = """
local epoch, version = versions_of(KEYS[2], ARGV[1], ARGV[2], redis.call('EXISTS', KEYS[1]) == 0 and TEN_MINUTES or nil)
return {epoch, version, redis.call('HVALS', KEYS[1])}
"""

_RENEW = """
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 0 end
redis.call('ZADD', KEYS[1], text(now + ARGV[2]), ARGV[1])
return 1
"""

_BEGIN = """
redis.call('ZADD', KEYS[1], text(now + ARGV[2]), ARGV[1])
return 1
"""

_EXPIRED = """
local owners = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', text(now), 'LIMIT', 0, 10)
for _, owner in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', text(now), 'LIMIT', 0, 10)) do
    owners[#owners + 1] = owner
end
for _, owner in ipairs(owners) do
    redis.call('ZREM', KEYS[1], owner)
    redis.call('ZADD', KEYS[2], text(now + ARGV[1]), owner)
end
return owners
"""

_CANDIDATE = """
local members, beats, handled = KEYS[1], KEYS[2], KEYS[3]
local me, lifetime, size = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local is_new, done = ARGV[4] == '1', tonumber(ARGV[5])
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', beats, '-inf', '(' .. text(now - lifetime))) do
    redis.call('ZREM', beats, gone)
    redis.call('ZREM', members, gone)
end
local before = redis.call('ZRANGE', members, 0, 0)[1]
if not before or before == me then
    for at = 6, 5 + done do redis.call('RPUSH', handled, ARGV[at]) end
    redis.call('LTRIM', handled, -size, -1)
end
if is_new or not redis.call('ZSCORE', members, me) then
    redis.call('ZADD', members, time[1] * 1000000 + time[2], me)
end
redis.call('ZADD', beats, text(now), me)
local leader = redis.call('ZRANGE', members, 0, 0)[1]
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, DAY) end
local era = redis.call('GET', KEYS[4])
if not era then
    era = new_epoch(me)
    redis.call('SET', KEYS[4], era, 'PX', DAY)
end
return {leader == me and 1 or 0, era, redis.call('LRANGE', handled, 0, -1)}
"""


@dataclass(frozen=True, slots=True)
class Script:
    """A script, with the hash by which Redis knows it."""

    text: str
    sha: bytes

    def call(self, keys: tuple[bytes, ...], *arguments: bytes | str | int) -> Command:
        """The command that runs it."""
        return (b"EVALSHA", self.sha, len(keys), *keys, *arguments)


class Scripts:
    """
    All of them. ``is_sharded``: for sharded Pub/Sub, which a Cluster needs.
    """

    def __init__(self, *, is_sharded: bool) -> None:
        verb = "SPUBLISH" if is_sharded else "PUBLISH"

        def script(*parts: str) -> Script:
            text = "".join((_COMMON, *parts)).replace("$PUBLISH", verb)
            return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest().encode())

        self.publish = script(_PUBLISH)
        self.read = script(_PRESENCE, _READ)
        self.change = script(_PRESENCE, _CHANGE)
        self.reap = script(_PRESENCE, _REAP)
        self.state = script(_PRESENCE, _STATE)
        self.renew = script(_RENEW)
        self.begin = script(_BEGIN)
        self.expired = script(_EXPIRED)
        self.candidate = script(_CANDIDATE)

    @property
    def all(self) -> tuple[Script, ...]:
        return (
            self.publish,
            self.read,
            self.change,
            self.reap,
            self.state,
            self.renew,
            self.begin,
            self.expired,
            self.candidate,
        )
