-- Health of watchbell's kinds for Argo CD (Lua 5.1). Their conditions follow kstatus: Reconciling and Stalled are there only while they are true.
local health = {status = "Progressing", message = "Waiting for the operator"}
local status = obj.status or {}
if obj.spec ~= nil and obj.spec.suspend == true then
  return {status = "Suspended", message = "Suspended"}
end
if status.observedGeneration ~= obj.metadata.generation then
  return health
end
local found = {}
for _, condition in ipairs(status.conditions or {}) do
  found[condition.type] = condition
end
local verdict = found.Ready or found.Succeeded
local stalled, reconciling = found.Stalled, found.Reconciling
if stalled ~= nil and stalled.status == "True" then
  return {status = "Degraded", message = stalled.message}
end
if verdict == nil then
  -- An incident, or a silence: what it tells of is not the state of what Git says.
  if obj.kind == "CollectorIncident" or obj.kind == "AlertSilence" then
    return {status = "Healthy", message = ""}
  end
  return health
end
health.message = verdict.message
if verdict.status == "True" then
  health.status = "Healthy"
elseif verdict.status == "False" and (reconciling == nil or reconciling.status ~= "True") then
  health.status = "Degraded"
end
return health
