-- The oldest entries of the usage stream, so many and so many bytes at most, so that whoever reads them needs no more memory
-- than it has set aside, whatever somebody has written into Redis.
--
-- KEYS[1]: the stream
-- ARGV[1]: where to begin, as XRANGE takes it
-- ARGV[2], ARGV[3]: entries and bytes at most; one entry may go over the bytes
-- ARGV[4], ARGV[5]: the names of the fields of the batch and of its tag
-- ARGV[6], ARGV[7]: bytes of the longest batch and of the longest tag that there can be
-- ARGV[8]: bytes that are returned of a batch that is longer
--
-- Returns whether there are no more (1 or 0), and for each entry its id, the length of its batch, the batch, the tag.
local from, most, room = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local longest, longest_tag, head = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local page = {}
while #page < most and room > 0 do
    -- One at a time: a reply to the script is in memory as a whole.
    local found = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', 1)[1]
    if not found then
        return {1, page}
    end
    local batch, tag = '', ''
    local fields = found[2]
    for i = 1, #fields, 2 do
        if fields[i] == ARGV[4] then
            batch = fields[i + 1]
        elseif fields[i] == ARGV[5] then
            tag = fields[i + 1]
        end
    end
    local length = #batch
    if length > longest then
        batch = string.sub(batch, 1, head)
    end
    if #tag > longest_tag then
        tag = ''
    end
    page[#page + 1] = {found[1], length, batch, tag}
    room = room - #batch - #tag
    from = '(' .. found[1]
end
return {0, page}
