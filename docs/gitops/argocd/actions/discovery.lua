-- Which buttons a connector has.
local actions = {["probe-now"] = {}}
local suspended = obj.spec.suspend == true
actions["suspend"] = {disabled = suspended}
actions["resume"] = {disabled = not suspended}
return actions
