"""The only Kubernetes calls of watchbell: client façade, typed informer, status by server-side apply, events, lease, work queue."""
