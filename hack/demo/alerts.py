"""The four mails of the demo: a crash, that it is over, a drift, that it is over. Every step is checked; one that does not happen ends the demo.

Before: `story` has proven the connectors. `cast` makes things happen; here they are waited for and shown.
"""

from dataclasses import dataclass

from demo import manifests as m
from demo.cast import Cast
from demo.process import watchbell
from demo.relay import Arrived, Relay
from demo.screen import StepFailedError, block, note, step, title, wait_until
from demo.stage import Stage, await_condition

CRASH_S = 60
RECOVERY_S = 300
"""Real pods crash at growing intervals, and what comes back at intervals must be well for longer than one of them."""
DRIFT_S = 60


@dataclass(frozen=True, slots=True)
class Post:
    """The mails so far, in the order in which they are expected."""

    relay: Relay

    def expect(self, number: int, what: str, words: tuple[str, ...], within_s: float) -> Arrived:
        """Mail `number` (from 1), whose subject holds all of `words`. Raises StepFailedError."""
        mails = self.relay.inbox.mails
        with step(f"wait for the mail: {what}"):
            wait_until(lambda: len(mails) >= number, f"the mail at the relay: {what}", within_s)
        mail = mails[number - 1]
        subject = str(mail.message["Subject"])
        if mail.recipients != (m.TO,) or not all(word in subject for word in (m.COLLECTOR, *words)):
            raise StepFailedError(f"a mail came, but not the one about {what}: {subject!r} to {mail.recipients}")
        return mail


def play(stage: Stage, relay: Relay, cast: Cast) -> None:
    """All four of them."""
    post = Post(relay)
    with_policy(stage)
    crash = _crash(stage, post, cast)
    _mend(post, cast, crash)
    drift = _drift(stage, post, cast)
    _restore(post, cast, drift)
    settled(stage, relay)


def with_policy(stage: Stage) -> None:
    """Which pods, what is wrong, whom to tell."""
    title("A policy: which pods, what is wrong, whom to tell")
    with step("apply a CollectorPolicy"):
        stage.kubectl.apply(m.policy())
        await_condition(stage, "Ready", ("collectorpolicy", m.POLICY, "-n", m.NAMESPACE))
    block(m.policy().removesuffix("---\n"))


def _crash(stage: Stage, post: Post, cast: Cast) -> Arrived:
    title("A collector crashes")
    cast.crash()
    mail = post.expect(1, "it crashes", (), CRASH_S)
    show(mail)
    _say(stage, "incident", "list", "-n", m.NAMESPACE)
    return mail


def _mend(post: Post, cast: Cast, crash: Arrived) -> None:
    title("It is mended")
    cast.mend()
    mail = post.expect(2, "it has recovered", (), RECOVERY_S)
    same_thread(crash, mail)
    show(mail)


def _drift(stage: Stage, post: Post, cast: Cast) -> Arrived:
    title("Somebody changes it by hand")
    cast.drift()
    mail = post.expect(3, "it has drifted", (), DRIFT_S)
    show(mail)
    _say(stage, "baseline", "diff", m.POLICY, "-n", m.NAMESPACE, code=1)
    return mail


def _restore(post: Post, cast: Cast, drift: Arrived) -> None:
    title("And back")
    cast.restore()
    mail = post.expect(4, "it is back to its baseline", (), DRIFT_S)
    same_thread(drift, mail)
    show(mail)


def settled(stage: Stage, relay: Relay) -> None:
    """The objects that remember it, and that no mail came that nobody asked for."""
    title("What remembers it")
    with step("wait until every EmailMessage is settled"):
        wait_until(lambda: _all(stage, "emailmessages", "Succeeded") == len(relay.inbox.mails), "all of them", 20)
    with step("wait until every incident is over"):
        wait_until(lambda: _all(stage, "collectorincidents", "Resolved") == 2, "both of them", 20)
    block(stage.kubectl.run("get", "collectorincidents,emailmessages", "-n", m.NAMESPACE))
    if len(relay.inbox.mails) != 4:
        subjects = "; ".join(str(mail.message["Subject"]) for mail in relay.inbox.mails)
        raise StepFailedError(f"{len(relay.inbox.mails)} mails came in place of four: {subjects}")


def _all(stage: Stage, kind: str, type_: str) -> int:
    """How many there are, if the condition is True of each of them; else 0."""
    items = stage.kubectl.get(kind, "-n", m.NAMESPACE)["items"]
    found = [one for item in items for one in item.get("status", {}).get("conditions", []) if one["type"] == type_]
    return len(items) if len(found) == len(items) and all(one["status"] == "True" for one in found) else 0


def same_thread(first: Arrived, second: Arrived) -> None:
    """Both hang on the same root. Raises StepFailedError."""
    roots = [str(mail.message["References"]).split()[:1] for mail in (first, second)]
    if roots[0] != roots[1] or not roots[0]:
        raise StepFailedError(f"the mails are not in one thread: References begin with {roots[0]} and {roots[1]}")


def show(mail: Arrived) -> None:
    """The mail as text, and where its files are."""
    for name in ("From", "To", "Subject", "Date"):
        block(f"{name}: {mail.message[name]}", margin="    | ")
    body = mail.message.get_body(("plain",))
    block("\n" + (str(body.get_content()) if body is not None else "(no text part)"), margin="    | ")
    note(f"as it came: {mail.eml}; to open in a browser: {mail.html}")


def _say(stage: Stage, *words: str, code: int = 0) -> None:
    """What `watchbell …` answers."""
    note(f"watchbell {' '.join(words)}")
    block(watchbell(stage.kubeconfig, stage.context, *words, code=code))
