-- Takes tokens from every bucket in KEYS, or from none of them.
--
-- ARGV: for each bucket eight whole numbers: its tokens per minute and its burst (at least 1), the tokens wanted, those
-- wanted ahead, and how many all nodes together may hold ahead; then what the caller gives back: the tokens of leases that
-- are over, and until when the server has counted them; and how many of them were not spent. At the end of ARGV the
-- length of a lease in milliseconds.
--
-- Returns six numbers for each bucket: whether it held enough (1 or 0), the whole tokens it holds now, the milliseconds
-- until it holds enough and until it is full, the tokens that were taken ahead (never more than a sixteenth of what was
-- left, so that a bucket that runs dry is shared to the last), and until when the server counts them.
--
-- A stored bucket is "level at lent until": 60,000ths of a token, the server's time in milliseconds when that was the
-- level, the tokens that nodes may hold ahead, and when the last of them is void. What is lent counts as if it were still
-- in the bucket, which cannot fill its room: so level and lent together never exceed the burst, and not one token is
-- granted twice. A lease that is never given back (its node has died, the answer was lost) keeps its room until `until`,
-- which moves on with each new one; when that leaves no room for more, no more are given, and `until` passes.
--
-- bucket.rs says why 60,000ths. A bucket that is not stored is full and nothing of it is lent, which is when its key
-- expires.
local TOKEN, NUMBERS = 60000, 8
local LEASE = tonumber(ARGV[NUMBERS * #KEYS + 1])

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- The level that a bucket has now, what of it is lent, and until when; and whether the clock was ahead when it was stored.
local function read(key, rate, full)
  -- What is no bucket of ours (another type, another text) counts as none and is replaced: one bad key must not fail
  -- the call, which would send every tenant of the caller to its local bucket.
  local stored = redis.pcall('GET', key)
  local level, at, lent, lent_until =
    string.match(type(stored) == 'string' and stored or '', '^(%d+) (%d+) (%d+) (%d+)$')
  if not level then
    return full, 0, 0, false
  end
  level, at, lent, lent_until = tonumber(level), tonumber(at), tonumber(lent), tonumber(lent_until)
  -- A clock that has gone back must not stop the bucket from refilling until it has caught up.
  local behind = at > now
  at = math.min(at, now)
  local room = math.max(0, full - lent * TOKEN)
  if lent_until > now then
    return math.min(room, level + (now - at) * rate), lent, lent_until, behind
  end
  -- Until the lease was over it took its room.
  local over = math.max(at, lent_until)
  return math.min(full, math.min(room, level + (over - at) * rate) + (now - over) * rate), 0, 0, behind
end

local buckets, admitted = {}, true
for i, key in ipairs(KEYS) do
  local function arg(place)
    return tonumber(ARGV[NUMBERS * (i - 1) + place])
  end
  local bucket = { key = key, rate = arg(1), full = arg(2) * TOKEN, cost = arg(3), ahead = arg(4), most = arg(5) }
  bucket.level, bucket.lent, bucket.lent_until, bucket.changed = read(key, bucket.rate, bucket.full)
  local over, counted_until, unspent = arg(6), arg(7), arg(8)
  -- Later, their room has been filled since, and given back they would be tokens too many.
  if over > 0 and now < counted_until then
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
    wait = math.ceil((bucket.cost * TOKEN - bucket.level) / bucket.rate)
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
  local full_in = math.ceil((bucket.full - bucket.level) / bucket.rate)
  if bucket.changed then
    local lives = math.max(1, full_in, bucket.lent_until - now)
    local text = string.format('%.0f %.0f %.0f %.0f', bucket.level, now, bucket.lent, bucket.lent_until)
    redis.call('SET', bucket.key, text, 'PX', string.format('%.0f', lives))
  end
  answer[#answer + 1] = bucket.enough and 1 or 0
  answer[#answer + 1] = math.floor(bucket.level / TOKEN)
  answer[#answer + 1] = wait
  answer[#answer + 1] = full_in
  answer[#answer + 1] = extra
  answer[#answer + 1] = extra > 0 and bucket.lent_until or 0
end
return answer
