-- Messages are held until it is resumed.
obj.spec.suspend = true
return obj
