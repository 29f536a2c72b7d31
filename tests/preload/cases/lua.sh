# SPDX-License-Identifier: MIT
# lua5.4: tables, strings, closures and coroutines.
case $1 in
needs) echo lua5.4 ;;
seen) echo lua5.4 ;;
prepare)
	cat >load.lua <<'LUA'
local t = {}
for i = 1, 200000 do t["k" .. (i * 7919 % 100003)] = { i, tostring(i) } end
local n = 0
for _ in pairs(t) do n = n + 1 end
print(n, t.k17 and t.k17[1])
local parts = {}
for i = 1, 100000 do parts[#parts + 1] = string.rep(string.char(97 + i % 26), i % 20) end
local s = table.concat(parts)
print(#s, select(2, s:gsub("[aeiou]+", "")))
table.sort(parts, function(a, b) return #a > #b or (#a == #b and a < b) end)
print(parts[1], #parts)
local made = {}
for i = 1, 5000 do
	made[i] = coroutine.wrap(function() for k = 1, 3 do coroutine.yield(k * i) end end)
end
local sum = 0
for k = 1, 3 do for i = 1, 5000 do sum = sum + made[i]() end end
print(sum)
for round = 1, 20 do
	local junk = {}
	for i = 1, 10000 do junk[i] = { round, { i } } end
end
collectgarbage()
print("done")
LUA
	;;
work) lua5.4 load.lua ;;
esac
