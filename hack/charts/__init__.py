"""What of the charts is made and not written: CRD templates, values.schema.json, the tables in README.md, and the page of rights.

``python -m charts`` writes it, ``--check`` compares. Sources are ``crds/``, the comments in each values.yaml, the table of flags, and
``charts/watchbell/files/rights.yaml``.
"""
