"""What of the charts and for GitOps is made and not written.

CRD templates, values.schema.json, the tables in README.md, the page of rights, and Argo CD's settings. ``python -m charts`` writes it, ``--check``
compares. Sources are ``crds/``, the comments in each values.yaml, the table of flags, ``charts/watchbell/files/rights.yaml`` and the Lua files in
``docs/gitops/argocd``.
"""
