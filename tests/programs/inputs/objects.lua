-- Tables, strings, closures, coroutines and the collector; prints check sums only.
local rounds = tonumber(arg[1])
local seed = 12345
local function random(limit)
	seed = (seed * 1103515245 + 12345) & 0x7fffffff
	return (seed >> 8) % limit
end

local words, total = {}, 0
for i = 1, rounds do
	local letters = {}
	for n = 1, 1 + random(12) do letters[n] = string.char(97 + random(26)) end
	local word = table.concat(letters)
	words[word] = (words[word] or "") .. i .. ";"
	total = total + #words[word]
	if i % 1000 == 0 then words[word] = nil end
end
print("string bytes", total)

local names = {}
for word in pairs(words) do names[#names + 1] = word end
table.sort(names)
print("words", #names, names[1], names[#names])

local function tree(depth)
	if depth == 0 then return {} end
	return {tree(depth - 1), tree(depth - 1)}
end
local function nodes(node)
	return node[1] and 1 + nodes(node[1]) + nodes(node[2]) or 1
end
for depth = 4, 16, 4 do print("nodes", depth, nodes(tree(depth))) end

local sum = 0
for i = 1, rounds // 10 do
	local generator = coroutine.wrap(function() for n = 1, 5 do coroutine.yield(n * i) end end)
	for _ = 1, 5 do sum = (sum + generator()) % 1000003 end
end
print("coroutines", sum)
words, names = nil, nil
collectgarbage()
print("text", #string.rep("hakmem ", 1000000):gsub("a", "bb"))
