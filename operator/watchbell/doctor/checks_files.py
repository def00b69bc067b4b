# ruff: noqa: E501 - sentences and commands are kept whole, so that they can be searched for
"""Checks of manifests before anybody applies them: are they valid, and is no password in them (pure)."""

from collections.abc import Iterator

from watchbell.api.kinds import KINDS
from watchbell.api.meta import parse
from watchbell.api.names import API_VERSION, GROUP, LABEL_OPT_IN, SECRET_TYPE
from watchbell.doctor.facts import Body, Facts, Source, name_of, names_of, spec_of
from watchbell.doctor.model import Category, Check, Finding, Severity, Status, change, high, low, medium
from watchbell.doctor.strays import strays
from watchbell.mail.nearest import nearest

_MODELS = {kind.kind: kind for kind in KINDS}
_HARMLESS = frozenset({"", "...", "…", "REPLACE-ME", "CHANGE-ME", "CHANGEME", "PASSWORD"})


def _valid(facts: Facts) -> Iterator[Finding]:
    for kind, bodies in facts.objects.items():
        for body in bodies:
            if not str(body.get("apiVersion", "")).startswith(f"{GROUP}/"):
                continue
            if kind not in _MODELS:
                near = nearest(kind, _MODELS)
                hint = f"; did you mean {near}?" if near else f"; there are {', '.join(_MODELS)}"
                yield Finding(Status.FAIL, f"{GROUP} has no kind {kind}{hint}", name_of(body))
            else:
                yield from _problems(body)


def _problems(body: Body) -> Iterator[Finding]:
    what = name_of(body)
    if body.get("apiVersion") != API_VERSION:
        yield Finding(Status.FAIL, f"apiVersion must be {API_VERSION}, not {body.get('apiVersion')}", what)
    parsed = parse(_MODELS[str(body["kind"])].model, body)
    problems = [str(problem) for problem in parsed] if isinstance(parsed, tuple) else []
    # Against a cluster the API server has dropped such fields before anybody could see them.
    problems += strays(_MODELS[str(body["kind"])].model, spec_of(body), "spec")
    for problem in problems:
        yield Finding(Status.FAIL, problem, what)
    if not problems:
        yield Finding(Status.PASS, "valid", what)


def _inline(facts: Facts) -> Iterator[Finding]:
    if facts.source is not Source.FILES:
        return
    for body in facts.of("Secret"):
        data = {**(body.get("stringData") or {}), **(body.get("data") or {})}
        filled = sorted(key for key, value in data.items() if str(value).strip() not in _HARMLESS and key != "username")
        names = names_of(facts, body)
        if filled and _is_ours(body):
            yield Finding(
                Status.WARN, f"the file holds values in clear for: {', '.join(filled)}", name_of(body), names=names
            )
        elif _is_ours(body):
            yield Finding(Status.PASS, "the file holds no password", name_of(body))


def _is_ours(body: Body) -> bool:
    labels = body["metadata"].get("labels") or {}
    return body.get("type") == SECRET_TYPE or labels.get(LABEL_OPT_IN) == "true"


CHECKS = (
    Check(
        id="check.config.valid",
        title="Objects are as the API wants them",
        category=Category.CONFIGURATION,
        severity=Severity.ERROR,
        tags=("manifest",),
        looks_at="Each object against the rules of its kind, those between fields too, and (in files) fields that the kind does not have.",
        why="The API server refuses a wrong object, or drops a misspelt field without a word.",
        causes=(high("A field is misspelt or in the wrong place."), medium("It was written for another version."), low("A value is out of its bounds.")),
        remedies=change("Correct the field that is named.", "kubectl explain smtpconnector.spec", "kubectl apply --dry-run=server -f FILE"),
        judge=_valid,
        verification="watchbell doctor run --check check.config.valid -f FILE",
    ),
    Check(
        id="check.config.inlinesecret",
        title="No password stands in a manifest",
        category=Category.SECURITY,
        severity=Severity.WARN,
        tags=("manifest", "secret"),
        looks_at="Secrets for watchbell among the files, with other values than a placeholder. No value is shown.",
        why="What is in Git once is there for ever, and base64 is no encryption.",
        causes=(high("The Secret was exported with kubectl get -o yaml."), low("It is a test.")),
        remedies=change("Keep the value out of the file: SealedSecrets, SOPS, External Secrets, or kubectl create secret by hand."),
        judge=_inline,
        related=("check.connector.secret",),
        verification="watchbell doctor run --check check.config.inlinesecret -f FILE",
    ),
)  # fmt: skip
