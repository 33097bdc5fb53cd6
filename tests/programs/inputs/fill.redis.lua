-- Fills redis with strings, lists, hashes, sets and sorted sets, the same on every run; KEYS[1] is the number of keys.
local seed = 12345
local function random(limit)
	seed = (seed * 16807) % 2147483647
	return seed % limit
end
for i = 1, tonumber(KEYS[1]) do
	local key, kind = 'fill:' .. i, i % 5
	if kind == 0 then redis.call('SET', key, string.rep('x', random(2000)))
	elseif kind == 1 then for n = 1, random(40) do redis.call('RPUSH', key, string.rep('l', random(100))) end
	elseif kind == 2 then for n = 1, random(40) do redis.call('HSET', key, 'field' .. n, random(1000000)) end
	elseif kind == 3 then for n = 1, random(40) do redis.call('SADD', key, 'member' .. random(1000)) end
	else for n = 1, random(40) do redis.call('ZADD', key, random(1000), 'member' .. n) end end
	if random(7) == 0 then redis.call('DEL', 'fill:' .. random(i)) end
	if random(9) == 0 then redis.call('APPEND', 'text', string.rep('y', random(100))) end
end
return redis.call('DBSIZE')
