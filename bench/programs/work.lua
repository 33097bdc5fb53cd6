-- work.lua - the bench's Lua program: tables, closures, text and sorting.
local total = 0

local function tree(depth)
	if depth == 0 then return { value = 1 } end
	return { left = tree(depth - 1), right = tree(depth - 1), value = depth }
end

local function sum(node)
	return node and node.value + sum(node.left) + sum(node.right) or 0
end

for round = 1, 6 do
	for _ = 1, 3 do total = total + sum(tree(13)) end
	local words, names = {}, {}
	for i = 1, 60000 do
		local name = "name" .. (i * 7919 % 20011)
		if not words[name] then
			words[name] = {}
			names[#names + 1] = name
		end
		table.insert(words[name], ("%d:%s"):format(i, ("y"):rep(i % 50)))
	end
	table.sort(names)
	for _, name in ipairs(names) do total = total + #table.concat(words[name], ",") end
end
print(total)
