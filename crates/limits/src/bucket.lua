-- Takes tokens from every bucket in KEYS, or from none of them.
--
-- ARGV: for each bucket nine whole numbers: its tokens per minute and its burst (at least 1), the tokens wanted, those
-- wanted ahead, and how many all nodes together may hold ahead; then what the caller gives back: the tokens of leases that
-- are over, and until when the server has counted them; how many of them were not spent; and the account that they were
-- counted in. At the end of ARGV the length of a lease in milliseconds.
--
-- Returns seven numbers for each bucket: whether it held enough (1 or 0), the whole tokens it holds now, the milliseconds
-- until it holds enough and until it is full, the tokens that were taken ahead (never more than a sixteenth of what was
-- left, so that a bucket that runs dry is shared to the last), until when the server counts them, and in which account.
--
-- A stored bucket is "level at lent until account rate burst": 60,000ths of a token, the server's time in milliseconds when
-- that was the level, the tokens that nodes may hold ahead, when the last of them is void, the name of the account that
-- they are counted in, and the limit. What is lent counts as if it were still in the bucket, which cannot fill its room:
-- so level and lent together never exceed the burst, and not one token is granted twice. A lease that is never given back
-- (its node has died, the answer was lost) keeps its room until `until`, which moves on with each new one; when that
-- leaves no room for more, no more are given, and `until` passes.
--
-- Another limit closes the account: what was lent under the old one is no debt of the new bucket, whose whole burst may be
-- smaller than that, and is not taken back into it either. An account is named by the moment when it was opened.
--
-- bucket.rs says why 60,000ths. A bucket that is not stored is full and nothing of it is lent, which is when its key
-- expires.
local TOKEN, NUMBERS = 60000, 9
local LEASE = tonumber(ARGV[NUMBERS * #KEYS + 1])

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- Brings `bucket`, which has its limit, to the present: the level, what of it is lent, until when, in which account, and
-- whether that has to be stored even if nothing is taken.
local function read(bucket)
  -- What is no bucket of ours (another type, another text) counts as none and is replaced: one bad key must not fail
  -- the call, which would send every tenant of the caller to its local bucket.
  local stored = redis.pcall('GET', bucket.key)
  local level, at, lent, lent_until, account, rate, burst =
    string.match(type(stored) == 'string' and stored or '', '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+)$')
  if not level then
    bucket.level, bucket.lent, bucket.lent_until, bucket.account = bucket.full, 0, 0, now
    return
  end
  level, at, lent, lent_until = tonumber(level), tonumber(at), tonumber(lent), tonumber(lent_until)
  account, rate = tonumber(account), tonumber(rate)
  local full = tonumber(burst) * TOKEN
  -- A clock that has gone back must not stop the bucket from refilling until it has caught up.
  bucket.changed = at > now
  at = math.min(at, now)
  -- Up to now the limit was the stored one.
  local room = math.max(0, full - lent * TOKEN)
  if lent_until > now then
    level = math.min(room, level + (now - at) * rate)
  else
    -- Until the lease was over it took its room.
    local over = math.max(at, lent_until)
    level = math.min(full, math.min(room, level + (over - at) * rate) + (now - over) * rate)
    lent, lent_until = 0, 0
  end
  if rate ~= bucket.rate or full ~= bucket.full then
    level, lent, lent_until, account = math.min(bucket.full, level), 0, 0, math.max(now, account + 1)
    bucket.changed = true
  end
  bucket.level, bucket.lent, bucket.lent_until, bucket.account = level, lent, lent_until, account
end

-- Milliseconds until a bucket holds so much, if nobody asks before. More than the room that leases leave free is there only
-- after they are over.
local function time_until(bucket, needed)
  local room = math.max(0, bucket.full - bucket.lent * TOKEN)
  local level, waited = bucket.level, 0
  if needed > room and bucket.lent_until > now then
    waited = bucket.lent_until - now
    level = math.min(room, level + waited * bucket.rate)
  end
  return waited + math.max(0, math.ceil((needed - level) / bucket.rate))
end

local buckets, admitted = {}, true
for i, key in ipairs(KEYS) do
  local function arg(place)
    return tonumber(ARGV[NUMBERS * (i - 1) + place])
  end
  local bucket = { key = key, rate = arg(1), full = arg(2) * TOKEN, cost = arg(3), ahead = arg(4), most = arg(5) }
  read(bucket)
  local over, counted_until, unspent, account = arg(6), arg(7), arg(8), arg(9)
  -- Later, their room has been filled since, and given back they would be tokens too many.
  if over > 0 and account == bucket.account and now < counted_until then
    bucket.lent = math.max(0, bucket.lent - over)
    local room = math.max(0, bucket.full - bucket.lent * TOKEN)
    bucket.level = math.max(bucket.level, math.min(room, bucket.level + unspent * TOKEN))
    bucket.changed = true
  end
  bucket.enough = bucket.level >= bucket.cost * TOKEN
  admitted = admitted and bucket.enough
  buckets[i] = bucket
end

local answer = {}
for _, bucket in ipairs(buckets) do
  local wait, extra = 0, 0
  if not bucket.enough then
    wait = time_until(bucket, bucket.cost * TOKEN)
  end
  if admitted then
    bucket.level = bucket.level - bucket.cost * TOKEN
    extra = math.max(0, math.min(bucket.ahead, bucket.most - bucket.lent, math.floor(bucket.level / TOKEN / 16)))
    bucket.level = bucket.level - extra * TOKEN
    bucket.changed = bucket.changed or bucket.cost > 0 or extra > 0
  end
  if extra > 0 then
    bucket.lent, bucket.lent_until = bucket.lent + extra, math.max(bucket.lent_until, now + LEASE)
  end
  local full_in = time_until(bucket, bucket.full)
  if bucket.changed then
    local text = string.format(
      '%.0f %.0f %.0f %.0f %.0f %.0f %.0f',
      bucket.level, now, bucket.lent, bucket.lent_until, bucket.account, bucket.rate, bucket.full / TOKEN
    )
    redis.call('SET', bucket.key, text, 'PX', string.format('%.0f', math.max(1, full_in)))
  end
  answer[#answer + 1] = bucket.enough and 1 or 0
  answer[#answer + 1] = math.floor(bucket.level / TOKEN)
  answer[#answer + 1] = wait
  answer[#answer + 1] = full_in
  answer[#answer + 1] = extra
  answer[#answer + 1] = extra > 0 and bucket.lent_until or 0
  answer[#answer + 1] = extra > 0 and bucket.account or 0
end
return answer
