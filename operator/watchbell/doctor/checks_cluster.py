"""Checks of the ground that everything stands on: the API server, its clock, the CRDs, and the rights of whoever looks (pure)."""

from collections.abc import Iterator

from watchbell import __version__
from watchbell.doctor.facts import Facts, Source
from watchbell.doctor.grants import granting
from watchbell.doctor.model import Category, Check, Finding, Severity, Status, change, high, low, medium

MAX_SKEW_S = 30.0
PLURALS = (
    "smtpconnectors",
    "clustersmtpconnectors",
    "smtptests",
    "emailmessages",
    "emailtemplates",
    "collectorpolicies",
    "collectorincidents",
    "alertsilences",
    "accountrecoveries",
)
INSTALL = "kubectl apply --server-side -f crds/"


def _in_cluster(facts: Facts) -> bool:
    return facts.source is Source.CLUSTER


def _crds(facts: Facts) -> Iterator[Finding]:
    if not _in_cluster(facts):
        return
    missing = [plural for plural in PLURALS if plural not in facts.crds]
    if missing:
        yield Finding(Status.FAIL, f"the cluster does not serve: {', '.join(missing)}")
        return
    others = {plural: version for plural, version in facts.crds.items() if version and version != __version__}
    if others:
        versions = ", ".join(sorted(set(others.values())))
        message = f"the CRDs are of version {versions}, this program is of {__version__}"
        yield Finding(Status.WARN, message, evidence=tuple(sorted(others.items())))
    elif not any(facts.crds.values()):
        yield Finding(Status.PASS, "every kind is served; you may not read CRDs, so their version is not known")
    else:
        yield Finding(Status.PASS, f"every kind is served, in version {__version__}")


def _clock(facts: Facts) -> Iterator[Finding]:
    if facts.skew_s is None:
        return
    evidence = (("skewSeconds", f"{facts.skew_s:.0f}"),)
    if abs(facts.skew_s) > MAX_SKEW_S:
        side = "ahead of" if facts.skew_s > 0 else "behind"
        yield Finding(
            Status.WARN, f"this machine's clock is {abs(facts.skew_s):.0f} s {side} the API server's", evidence=evidence
        )
    else:
        yield Finding(Status.PASS, "the clocks of this machine and of the API server agree", evidence=evidence)


def _caller(facts: Facts) -> Iterator[Finding]:
    if facts.denied_caller is None:
        return
    for denied in facts.denied_caller:
        message = f"you may not {denied.right}, so a part of this report is missing"
        yield Finding(Status.INFO, message, steps=(f"Ask for it: {granting(denied.right, '--user=YOU')}",))
    if not facts.denied_caller:
        yield Finding(Status.PASS, "you may read everything that this report is made from")


CHECKS = (
    Check(
        id="check.kubernetes.crds",
        title="The cluster serves watchbell's kinds, in this version",
        category=Category.UPGRADE,
        severity=Severity.CRITICAL,
        tags=("crd", "version"),
        looks_at="Discovery of the group watchbell.dev, and the annotation watchbell.dev/bundle-version of each CRD.",
        why="Fields that the CRD does not know are dropped without a word, and kinds that are missing cannot be used.",
        causes=(high("CRDs are not upgraded together with the operator."), medium("They were never installed."), low("They were deleted.")),
        remedies=change("Install the CRDs of the operator's version.", INSTALL),
        judge=_crds,
        related=("check.operator.running",),
    ),
    Check(
        id="check.kubernetes.clock",
        title="The clocks agree",
        category=Category.CONNECTIVITY,
        severity=Severity.WARN,
        tags=("time",),
        looks_at="This machine's time against the API server's.",
        why="With a wrong clock certificates look expired or not yet valid, tokens are refused and mails carry wrong dates.",
        causes=(high("Time synchronisation does not run."), low("A virtual machine was asleep.")),
        remedies=change("Let NTP or chrony set the clock of the machine that is wrong.", "timedatectl status"),
        judge=_clock,
        related=("check.connector.certificate",),
    ),
    Check(
        id="check.kubernetes.rights",
        title="You may read what this report is made from",
        category=Category.RBAC,
        severity=Severity.INFO,
        tags=("rbac",),
        looks_at="A SelfSubjectAccessReview for each kind that the doctor reads.",
        why="What you may not read is not judged; the report says so instead of saying that all is well.",
        causes=(high("Your role is for another namespace."), medium("Your role has no rights on watchbell's kinds.")),
        remedies=change("Ask an administrator for the role watchbell-view, or for the rights that are named.", "kubectl auth can-i --list"),
        judge=_caller,
    ),
)  # fmt: skip
