"""`make demo`: the whole way from nothing to a crash mail, a drift mail, and that both are over, on a real API server.

Real: etcd, kube-apiserver, the operator as its own process, TLS, AUTH and SMTP, the mails. Not real without CONTEXT=: controllers and kubelet; small
stand-ins make the objects that controllers make, and replay pod statuses that a real kubelet wrote (`recordings/`).
"""
