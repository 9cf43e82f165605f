"""Lua script that decides all charges of a request in Redis, all or nothing.

The rules are those of `window.py`. Redis runs a script atomically, and every read comes before the first write, so an
error (wrong type, full, read-only) changes nothing: Redis checks before a script starts if it may write.
"""

# The %.0f keeps every digit: Lua's own conversion to text loses digits above 10^14.
SPEND = """
-- KEYS: one window per charge. ARGV: amount and cost of each, in the same order.
-- A window is text, "<at_us> <spent> ..." oldest first: one pair per second, dated by its last spend.
local SECOND, WINDOW = 1000000, 60000000
local time = redis.call('TIME')
local now = time[1] * SECOND + time[2]

local function append(window, at, spent)
  local last = #window.at
  if last > 0 and math.floor(window.at[last] / SECOND) == math.floor(at / SECOND) then
    window.at[last], window.spent[last] = at, window.spent[last] + spent
  else
    window.at[last + 1], window.spent[last + 1] = at, spent
  end
  window.used = window.used + spent
end

local function load(key)
  local window = {at = {}, spent = {}, used = 0, dirty = false}
  for at, spent in string.gmatch(redis.call('GET', key) or '', '(%d+) (%d+)') do
    at = tonumber(at)
    if at > now then
      -- The server's clock was set back. Dated now, these spends expire within a minute.
      at, window.dirty = now, true
    end
    if now - at < WINDOW then append(window, at, tonumber(spent)) end
  end
  return window
end

local function save(key, window)
  local text = {}
  for i = 1, #window.at do text[i] = string.format('%.0f %.0f', window.at[i], window.spent[i]) end
  redis.call('SET', key, table.concat(text, ' '), 'PX', WINDOW / 1000)
end

local function wait(window, amount, cost)
  local missing = window.used + cost - amount
  if missing <= 0 or cost == 0 then return 0 end
  for i = 1, #window.at do
    missing = missing - window.spent[i]
    if missing <= 0 then return window.at[i] + WINDOW - now end
  end
  return WINDOW
end

local windows, waits, granted = {}, {}, true
for i, key in ipairs(KEYS) do
  windows[i] = load(key)
  waits[i] = wait(windows[i], tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i]))
  granted = granted and waits[i] == 0
end

local answer = {}
for i, key in ipairs(KEYS) do
  local window, cost = windows[i], tonumber(ARGV[2 * i])
  if granted and cost > 0 then
    append(window, now, cost)
    window.dirty = true
  end
  if window.dirty then save(key, window) end
  local last = #window.at
  answer[3 * i - 2] = window.used
  answer[3 * i - 1] = waits[i]
  answer[3 * i] = last > 0 and window.at[last] + WINDOW - now or 0
end
return answer
"""
