"""AccountRecovery: mail that lets somebody into an account again. The application asks for it; nothing secret ever stands in the object.

A kind of its own, so that who may have a link or codes for an account sent to an address is a verb in RBAC and a line in the audit log.
"""

from typing import Annotated

from pydantic import AwareDatetime, Field, StringConstraints

from watchbell.api import fields as f
from watchbell.api.connector import ConnectorRef
from watchbell.api.enums import RecoveryType
from watchbell.api.markers import InCode, Matches, Rule, immutable
from watchbell.api.meta import Block, LocalRef, Resource, Spec, Status

Account = Annotated[
    str,
    StringConstraints(min_length=1, max_length=253),
    Matches(
        rf"[^\s{f.HIDDEN}](?:[^{f.HIDDEN}]*[^\s{f.HIDDEN}])?",
        "account must be one line without space at its ends, without control characters and characters that turn the direction of text",
    ),
]
BaseUrl = Annotated[
    str,
    StringConstraints(min_length=9, max_length=1024),
    Matches(
        r"https://[A-Za-z0-9.:\[\]-]+(?:[/?][A-Za-z0-9/?:@!$&()*+,;=._~%-]*)?",
        "baseURL must be an https URL without user information and fragment",
    ),
]
TokenParameter = Annotated[
    str,
    StringConstraints(min_length=1, max_length=64),
    Matches(r"[A-Za-z][A-Za-z0-9_-]*", "tokenParameter must be letters, digits, '_' and '-', beginning with a letter"),
]


class RecoveryLink(Block):
    """Where the link of the mail leads: `baseURL?tokenParameter=<token>`."""

    RULES = (
        Rule(
            "!self.baseURL.contains('?' + self.tokenParameter + '=') && !self.baseURL.contains('&' + self.tokenParameter + '=')",
            "baseURL may not set tokenParameter: the token comes there",
            ".baseURL",
            lambda link: all(f"{mark}{link.token_parameter}=" not in link.base_url for mark in "?&"),
        ),
    )

    base_url: BaseUrl = Field(
        description="The page of the application that takes the token. Its origin, such as https://app.example.com, is the token's audience."
    )
    token_parameter: TokenParameter = Field("token", description="The parameter of the query that holds the token.")


class AccountRecoverySpec(Spec):
    """What to send to whom. It cannot be changed: a mail that is out cannot be taken back."""

    RULES = (
        immutable("spec may not be changed: create another AccountRecovery"),
        Rule(
            "(self.type == 'PasswordReset') == has(self.link)",
            "link must be set with type PasswordReset, and only with it",
            ".link",
            lambda spec: (spec.type is RecoveryType.PASSWORD_RESET) == (spec.link is not None),
        ),
    )

    type: RecoveryType = Field(
        description="PasswordReset: a link that works once the application has checked its token. RecoveryCodes: a list of codes, each for one use."
    )
    account: Account = Field(
        description="The account, as the application calls it. It stands in the mail and in the token."
    )
    to: f.To = Field(description="The address that belongs to the account; whoever reads its mail gets in.")
    link: RecoveryLink | None = Field(None, description="Where the link leads.")
    code_count: Annotated[int, Field(strict=True, ge=1, le=20)] = Field(10, description="How many codes.")
    expiration_seconds: Annotated[int, Field(strict=True, ge=60, le=604_800)] = Field(
        900,
        description="The link is valid so long after this object was created. No mail goes out later, codes neither; codes that were sent are valid "
        "until the application forgets them.",
    )
    signing_key_secret_ref: LocalRef = Field(
        description="The Secret with the keys, labelled watchbell.dev/signing-key: each of its keys is a key id, each value at least 32 random bytes."
    )
    connector_ref: Annotated[ConnectorRef | None, InCode("the connector named default")] = Field(
        None, description="The connector that sends it."
    )
    template_ref: Annotated[LocalRef | None, InCode("the built-in words")] = Field(
        None,
        description="An EmailTemplate of the same namespace, which reads `account.link` or `account.codes`. Whoever may write it can have these "
        "sent on: give that right as carefully as the signing key.",
    )
    ttl_seconds_after_finished: Annotated[int, Field(strict=True, ge=0, le=31_536_000)] | None = Field(
        None,
        description="Delete the object so long after it finished, and with it the Secret that codes are checked against. Unset: keep it.",
    )


class AccountRecoveryStatus(Status):
    """How far it has come; neither token nor code stands here."""

    expiration_time: AwareDatetime | None = Field(
        None, description="Until when the link is valid and the mail may go out."
    )
    completion_time: AwareDatetime | None = Field(None, description="When it was finished, either way.")
    message_ref: LocalRef | None = Field(None, description="The EmailMessage; the text is made when it is sent.")
    codes_secret_ref: LocalRef | None = Field(
        None, description="The Secret with the slow hashes of the codes, for the application that checks them."
    )


class AccountRecovery(Resource):
    """Mails a signed link that expires, or recovery codes, for an account of an application."""

    spec: AccountRecoverySpec
    status: AccountRecoveryStatus = Field(default_factory=AccountRecoveryStatus)
