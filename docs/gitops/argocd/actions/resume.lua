-- What was held is sent.
obj.spec.suspend = false
return obj
