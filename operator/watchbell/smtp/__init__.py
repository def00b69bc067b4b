"""Speaking SMTP, knowing no Kubernetes: resolve, connect, TLS, greeting, EHLO, AUTH, submit.

`model` holds the values, `verdict` and `remedies` are pure tables, `endpoint`, `session`, `auth`, `oauth`, `probe` and `submit` act.
The probe and the courier use the very same session, so what is proven is what sends.
"""
