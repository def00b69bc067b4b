"""Letters whose text may stand nowhere: what is known of them before it is made, and for what use they are."""

import copy
from typing import Any

import pytest

from outboxrig import message, outlet
from watchbell.api.enums import BuiltinTemplate, Use
from watchbell.mail.document import Rendered
from watchbell.outbox.letters.letter import MINTED, Composed, Flaw, Letter, compose, filled, read
from watchbell.outbox.letters.minting import NO_MINTER

OWNER = {"apiVersion": "watchbell.dev/v1alpha1", "kind": "AccountRecovery", "name": "r", "uid": "u", "controller": True}
MADE = Rendered("Another subject", "the link", "<p>the link</p>")


def body(builtin: str = "PasswordReset", *owners: dict[str, Any], **spec: Any) -> dict[str, Any]:
    made = copy.deepcopy(message("reset"))
    made["metadata"] |= {"uid": "m", "namespace": "apps", "creationTimestamp": "2026-11-21T12:00:00Z"}
    made["metadata"]["ownerReferences"] = list(owners)
    made["spec"].pop("body")
    made["spec"] |= {"subject": "Reset your password", "templateRef": {"builtin": builtin}, **spec}
    return made


def letter(**options: Any) -> Letter:
    found = read(body("PasswordReset", OWNER, **options))
    assert isinstance(found, Letter), found
    return found


@pytest.mark.parametrize("builtin", sorted(MINTED))
def test_a_letter_that_is_to_be_made_has_recipients_and_a_subject_but_no_text(builtin):
    found = read(body(builtin, OWNER))
    assert isinstance(found, Letter)
    assert found.is_minted
    assert (found.subject, found.text, found.html) == ("Reset your password", "", "")
    assert [one.text for one in found.recipients] == ["ops@example.org"]


def test_it_cannot_go_out_before_it_is_made_and_then_keeps_its_subject():
    where = outlet(25)
    with pytest.raises(ValueError, match="before its text was made"):
        compose(letter(), where, "")
    made = filled(letter(), MADE)
    assert not made.is_minted
    assert (made.subject, made.text, made.html) == ("Reset your password", "the link", "<p>the link</p>")
    first, second = compose(made, where, ""), compose(filled(letter(), MADE), where, "")
    assert isinstance(first, Composed)
    assert first == second


def test_a_letter_with_a_text_of_its_own_is_not_made():
    found = read({**body(), "spec": message("x")["spec"]})
    assert isinstance(found, Letter)
    assert not found.is_minted


@pytest.mark.parametrize(
    ("owner", "builtin", "use"),
    [
        (OWNER, "PasswordReset", Use.RECOVERY),
        (OWNER, "RecoveryCodes", Use.RECOVERY),
        (OWNER | {"controller": False}, "PasswordReset", Use.MESSAGE),
        (OWNER | {"apiVersion": "apps/v1"}, "PasswordReset", Use.MESSAGE),
        (OWNER | {"kind": "CollectorIncident"}, "PasswordReset", Use.MESSAGE),
    ],
)
def test_account_mail_is_what_an_accountrecovery_controls_and_what_is_made_for_it(owner, builtin, use):
    found = read(body(builtin, owner))
    assert isinstance(found, Letter)
    assert found.use is use


def test_an_owner_alone_makes_no_account_mail_of_a_users_text():
    made = {**body(), "spec": message("x")["spec"]}
    made["metadata"]["ownerReferences"] = [OWNER]
    found = read(made)
    assert isinstance(found, Letter)
    assert found.use is Use.MESSAGE


def test_every_template_that_takes_no_facts_is_made():
    without_facts = {template for template in BuiltinTemplate if isinstance(read(body(template, OWNER)), Letter)}
    assert without_facts == MINTED


async def test_a_process_without_account_mail_refuses_it_for_good():
    found = await NO_MINTER.mint(body())
    assert isinstance(found, Flaw)
    assert not found.is_of_connector
