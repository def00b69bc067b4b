-- Asks the operator to prove the connector now; the answer stands in status.lastHandledRequest.
local os = require("os")
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["watchbell.dev/requested-at"] = os.date("!%Y-%m-%dT%XZ")
return obj
