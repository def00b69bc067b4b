"""`docs/gitops/argocd/argocd-cm.yaml`: the Lua files beside it, under the keys by which Argo CD finds them."""

from pathlib import Path

from watchbell.api.kinds import KINDS
from watchbell.api.names import GROUP

_HEAD = """# Made by `make generate` from the Lua files in this folder. Merge it into your own argocd-cm.
# Argo CD shows what kstatus says: Reconciling = Progressing, Stalled = Degraded, Ready or Succeeded = Healthy.
apiVersion: v1
kind: ConfigMap
metadata:
  name: argocd-cm
  namespace: argocd
data:
"""
CONNECTORS = ("SmtpConnector", "ClusterSmtpConnector")
ACTIONS = ("probe-now", "resume", "suspend")


def argocd_config(folder: Path) -> str:
    """The ConfigMap. `folder` holds health.lua and actions/."""
    health = (folder / "health.lua").read_text(encoding="utf-8")
    entries = [_entry(f"resource.customizations.health.{GROUP}_{kind.kind}", health) for kind in KINDS]
    entries += [
        _entry(f"resource.customizations.actions.{GROUP}_{kind}", _actions(folder / "actions")) for kind in CONNECTORS
    ]
    return _HEAD + "".join(entries)


def _actions(folder: Path) -> str:
    discovery = (folder / "discovery.lua").read_text(encoding="utf-8")
    text = f"discovery.lua: |\n{_indented(discovery)}definitions:\n"
    for name in ACTIONS:
        lua = (folder / f"{name}.lua").read_text(encoding="utf-8")
        text += f"- name: {name}\n  action.lua: |\n{_indented(lua, '    ')}"
    return text


def _entry(key: str, text: str) -> str:
    return f"  {key}: |\n{_indented(text, '    ')}"


def _indented(text: str, by: str = "  ") -> str:
    return "".join(f"{by}{line}\n" for line in text.splitlines())
