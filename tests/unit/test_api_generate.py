import re
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pytest
import yaml
from pydantic import Field

from watchbell import __version__
from watchbell.api.crd import block_of, definition
from watchbell.api.generate import FOLDERS, ROOT, crd_files, files, main
from watchbell.api.kinds import KINDS
from watchbell.api.markers import InCode, ListSet
from watchbell.api.meta import Block
from watchbell.api.reasons import Reason
from watchbell.api.schema import structural
from watchbell.generated import differences

REASON = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")
KNOWN_KEYS = {
    "type", "format", "description", "default", "enum", "pattern", "properties", "required", "items", "additionalProperties",
    "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "maxProperties",
    "x-kubernetes-validations", "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type",
}  # fmt: skip


def nodes(schema, path=""):
    """Each node of a schema with its path."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for key, mark in (("items", "[]"), ("additionalProperties", ".*")):
        if isinstance(schema.get(key), dict):
            yield from nodes(schema[key], path + mark)


BLOCKS = [(kind, field) for kind in KINDS for field in ("spec", "status")]
ALL_NODES = [
    (f"{kind.kind}.{field}{path}", node)
    for kind, field in BLOCKS
    for path, node in nodes(structural(block_of(kind, field)))
]


def test_crds_and_reference_pages_are_current():
    stale = differences(ROOT, files(ROOT / "docs" / "samples"), FOLDERS)
    assert stale == [], "run: python -m watchbell.api.generate"


def test_every_node_is_structural():
    for path, node in ALL_NODES:
        assert set(node) <= KNOWN_KEYS, path
        assert node["type"] in {"object", "array", "string", "integer", "boolean"}, path


def test_every_text_list_and_number_is_bounded():
    for path, node in ALL_NODES:
        match node["type"]:
            case "string":
                assert "maxLength" in node or "enum" in node or node.get("format") == "date-time", path
            case "array":
                assert "maxItems" in node, path
                assert node["x-kubernetes-list-type"] in {"set", "map", "atomic"}, path
            case "integer":
                assert node["minimum"] <= node["maximum"], path


def test_names_follow_the_api_conventions():
    for path, node in ALL_NODES:
        name = path.rsplit(".", 1)[-1]
        assert node["type"] != "boolean" or name == "suspend", path
        assert node.get("format") != "date-time" or name.lower().endswith(("time", "after")), path
        if name.endswith("Ref"):
            assert "namespace" not in node["properties"], path
        for value in node.get("enum", ()):
            assert re.fullmatch(r"[A-Z][A-Za-z0-9]*", value), path


def test_nothing_has_a_default_but_leaves_outside_of_lists():
    for path, node in ALL_NODES:
        if "default" in node:
            assert "[]" not in path, path
            assert node["type"] not in {"object", "array"}, path


def test_every_field_is_explained():
    for path, node in ALL_NODES:
        assert path.endswith(("[]", ".*")) or node["description"].endswith((".", '"`.')), path


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_a_crd_has_all_that_the_house_asks_for(kind):
    crd = definition(kind)
    [version] = crd["spec"]["versions"]
    root = version["schema"]["openAPIV3Schema"]
    assert root["properties"]["status"]["default"] == {"observedGeneration": -1}
    assert root["required"] == ["spec"]
    assert crd["metadata"]["annotations"]["watchbell.dev/bundle-version"] == __version__
    assert version["subresources"] == {"status": {}}
    assert crd["spec"]["names"]["categories"] == ["watchbell"]
    assert [column["name"] for column in version["additionalPrinterColumns"] if "priority" not in column][-1] == "Age"


def test_finished_objects_can_be_kept_out_of_memory():
    selectable = {
        kind.kind: [entry["jsonPath"] for entry in definition(kind)["spec"]["versions"][0].get("selectableFields", [])]
        for kind in KINDS
    }
    assert selectable == {
        "SmtpConnector": [],
        "ClusterSmtpConnector": [],
        "SmtpTest": [".status.completionTime", ".spec.connectorRef.name"],
        "EmailMessage": [".status.completionTime", ".spec.connectorRef.name"],
        "CollectorPolicy": [],
        "CollectorIncident": [".status.resolvedTime"],
        "AlertSilence": [],
        "EmailTemplate": [],
        "AccountRecovery": [".status.completionTime", ".spec.connectorRef.name"],
    }


def test_a_kind_lacks_what_belongs_to_the_other_kind_only():
    specs = {kind.kind: structural(block_of(kind, "spec"))["properties"] for kind in KINDS}
    assert "parentRef" not in specs["ClusterSmtpConnector"]
    assert not {"allowedNamespaces", "allowedUses", "allowedFromAddresses"} & set(specs["SmtpConnector"])


class Unbounded(Block):
    text: str = Field(description="No end.")


class Untyped(Block):
    text: Annotated[str, Field(max_length=5)] | Annotated[int, Field(ge=1, le=5)] = Field(description="Two types.")


class Item(Block):
    size: Annotated[int, Field(ge=0, le=5)] = Field(3, description="Filled in by the server.")


class Drifting(Block):
    items: Annotated[tuple[Item, ...], Field(max_length=5), ListSet()] = Field((), description="Items.")


class Untagged(Block):
    items: Annotated[tuple[Annotated[str, Field(max_length=5)], ...], Field(max_length=5)] = Field(
        (), description="Items."
    )


class Endless(Block):
    size: Annotated[int, Field(ge=0)] = Field(description="No end.")


class Floating(Block):
    size: float = Field(description="Not exact.")


@pytest.mark.parametrize(
    ("model", "complaint"),
    [
        (Unbounded, r"\.text: a string needs one of maxLength"),
        (Untyped, "a field must have one type"),
        (Drifting, r"\.items\[\]\.size: no default inside list items"),
        (Untagged, r"\.items: a list needs x-kubernetes-list-type"),
        (Endless, r"\.size: a integer needs one of maximum"),
        (Floating, r"\.size: no type that a CRD knows: number"),
    ],
)
def test_a_model_that_breaks_the_house_rules_is_not_generated(model, complaint):
    with pytest.raises(ValueError, match=complaint):
        structural(model)


class Settled(Block):
    kept: Annotated[tuple[Annotated[str, Field(max_length=5)], ...], Field(max_length=5), ListSet(), InCode("all")] = (
        Field(("a",), description="In code.")
    )
    filled: Annotated[str, Field(max_length=5)] = Field("x", description="By the server.")


def test_a_default_that_lives_in_the_code_is_not_in_the_schema():
    properties = structural(Settled)["properties"]
    assert "default" not in properties["kept"]
    assert properties["filled"]["default"] == "x"


def test_check_names_what_is_stale_missing_or_left_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    samples = tmp_path / "docs" / "samples"
    samples.mkdir(parents=True)
    for source in (ROOT / "docs" / "samples").glob("*.yaml"):
        (samples / source.name).write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    assert main(["--root", str(tmp_path)]) == 0
    assert main(["--root", str(tmp_path), "--check"]) == 0
    (tmp_path / "crds" / "watchbell.dev_emailmessages.yaml").write_text("stale", encoding="utf-8")
    (tmp_path / "crds" / "watchbell.dev_smtptests.yaml").unlink()
    (tmp_path / "docs" / "reference" / "gone.md").write_text("left over", encoding="utf-8")
    assert main(["--root", str(tmp_path), "--check"]) == 1
    told = re.findall(r"not current: (\S+)", capsys.readouterr().err)
    assert told == [
        "crds/watchbell.dev_emailmessages.yaml",
        "crds/watchbell.dev_smtptests.yaml",
        "docs/reference/gone.md",
    ]
    assert main(["--root", str(tmp_path)]) == 0
    assert main(["--root", str(tmp_path), "--check"]) == 0


def test_generating_twice_gives_the_same_bytes():
    assert crd_files() == crd_files()
    assert all(yaml.safe_load(text)["kind"] == "CustomResourceDefinition" for text in crd_files().values())


def test_every_reason_is_a_word_that_kubernetes_takes_and_is_explained_once():
    assert len({reason.value.lower() for reason in Reason}) == len(Reason)
    for reason in Reason:
        assert REASON.fullmatch(reason), reason
        assert reason.doc.endswith("."), reason
    page = (ROOT / "docs" / "reference" / "conditions-and-reasons.md").read_text(encoding="utf-8")
    assert all(page.count(f"| `{reason}` |") >= 1 for reason in Reason)


def test_importing_the_models_brings_no_yaml_and_no_event_loop():
    code = "import sys, watchbell.api.kinds; print(sorted({'yaml', 'asyncio', 'kopf', 'aiohttp'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout.strip() == "[]"
