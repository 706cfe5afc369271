-- Takes tokens from every bucket in KEYS, or from none of them.
--
-- ARGV: for each bucket its tokens per minute, its burst, the tokens wanted and those wanted besides, all whole numbers,
-- the first two at least 1. Returns five numbers for each bucket: whether it held enough (1 or 0), the whole tokens it
-- holds now, the milliseconds until it holds enough and until it is full, and the tokens that were taken besides: never
-- more than a sixteenth of what was left, so that a bucket that runs dry is shared to the last.
--
-- A stored bucket is "level at": 60,000ths of a token, and the server's time in milliseconds when that was the level.
-- bucket.rs says why. A bucket that is not stored is full, which is when its key expires.
local TOKEN = 60000

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local buckets, admitted = {}, true
for i, key in ipairs(KEYS) do
  local rate, burst = tonumber(ARGV[4 * i - 3]), tonumber(ARGV[4 * i - 2])
  local cost, ahead = tonumber(ARGV[4 * i - 1]), tonumber(ARGV[4 * i])
  local full = burst * TOKEN
  local bucket = { key = key, rate = rate, full = full, cost = cost * TOKEN, ahead = ahead, level = full, rewrite = cost > 0 }
  -- What is no bucket of ours (another type, another text) counts as none and is replaced: one bad key must not fail
  -- the call, which would send every tenant of the caller to its local bucket.
  local stored = redis.pcall('GET', key)
  local level, at = string.match(type(stored) == 'string' and stored or '', '^(%d+) (%d+)$')
  if level then
    at = tonumber(at)
    bucket.level = math.min(full, tonumber(level) + math.max(0, now - at) * rate)
    -- A clock that has gone back must not stop the bucket from refilling until it has caught up.
    bucket.behind = at > now
  end
  bucket.enough = bucket.level >= bucket.cost
  admitted = admitted and bucket.enough
  buckets[i] = bucket
end

local answer = {}
for _, bucket in ipairs(buckets) do
  local wait = 0
  if not bucket.enough then
    wait = math.ceil((bucket.cost - bucket.level) / bucket.rate)
  end
  local extra = 0
  if admitted then
    bucket.level = bucket.level - bucket.cost
    extra = math.min(bucket.ahead, math.floor(bucket.level / TOKEN / 16))
    bucket.level = bucket.level - extra * TOKEN
  end
  local full_in = math.ceil((bucket.full - bucket.level) / bucket.rate)
  if full_in > 0 and (bucket.behind or (admitted and (bucket.rewrite or extra > 0))) then
    redis.call('SET', bucket.key, string.format('%.0f %.0f', bucket.level, now), 'PX', string.format('%.0f', full_in))
  end
  answer[#answer + 1] = bucket.enough and 1 or 0
  answer[#answer + 1] = math.floor(bucket.level / TOKEN)
  answer[#answer + 1] = wait
  answer[#answer + 1] = full_in
  answer[#answer + 1] = extra
end
return answer
