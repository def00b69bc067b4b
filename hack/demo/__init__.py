"""`make demo`: the whole way from nothing to the first crash mail, on a real API server.

Real: etcd, kube-apiserver, the operator as its own process, TLS, AUTH and SMTP, the mails. Not real without CONTEXT=: the kubelet; a small stand-in
replays pod statuses that a real kubelet wrote (`recordings/`).
"""
