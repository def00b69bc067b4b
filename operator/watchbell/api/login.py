"""The `auth` block of a connector: who logs in and with what. What is secret stands in a Secret; here is only its name."""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field

from watchbell.api import fields as f
from watchbell.api.enums import Grant, Mechanism, Plaintext
from watchbell.api.markers import InCode, ListSet, Rule
from watchbell.api.meta import Block, LocalRef


def _needed_by_oauth2(field: str, attribute: str) -> Rule:
    return Rule(
        f"self.grant == 'GoogleServiceAccount' || has(self.{field})",
        f"{field} must be set unless grant is GoogleServiceAccount",
        f".{field}",
        lambda oauth: oauth.grant is Grant.GOOGLE_SERVICE_ACCOUNT or getattr(oauth, attribute) is not None,
    )


class OAuth2(Block):
    """Where and how to get an OAuth2 token. The secret part stands in the Secret."""

    RULES = (_needed_by_oauth2("tokenURL", "token_url"), _needed_by_oauth2("clientID", "client_id"))

    token_url: f.HttpsUrl | None = Field(
        None,
        description="The token endpoint. A host that is not Microsoft's or Google's must be allowed by the operator's --egress-allow-host, since it "
        "gets the client secret; a CA of `tls` is trusted there too. "
        "Unset: https://oauth2.googleapis.com/token, with GoogleServiceAccount only.",
    )
    client_id: f.ClientId | None = Field(None, description="The application's ID at the provider.")
    scopes: Annotated[tuple[f.Scope, ...], Field(max_length=16), ListSet()] = Field(
        (), description="The scopes that are asked for."
    )
    grant: Grant = Field(
        description="ClientCredentials (Secret keys `client-secret`, or `client.crt` and `client.key`), RefreshToken (`refresh-token`, "
        "`client-secret` if the client has one), WorkloadIdentity (no Secret) or GoogleServiceAccount (`service-account.json`)."
    )


class Ses(Block):
    """Amazon SES: the SMTP password is derived from the secret access key and the region."""

    region: f.Region = Field(description="The region that the password is for, such as eu-central-1.")


def _auth_rule(cel: str, message: str, field: str, check: Callable[[Any], bool]) -> Rule:
    return Rule(cel, message, f".{field}", check)


class Auth(Block):
    """Who logs in, and with what."""

    RULES = (
        _auth_rule(
            "has(self.secretRef) || self.mechanism == 'External' || (has(self.oauth2) && self.oauth2.grant == 'WorkloadIdentity')",
            "secretRef must be set unless mechanism is External or oauth2.grant is WorkloadIdentity",
            "secretRef",
            lambda auth: (
                auth.secret_ref is not None
                or auth.mechanism is Mechanism.EXTERNAL
                or (auth.oauth2 is not None and auth.oauth2.grant is Grant.WORKLOAD_IDENTITY)
            ),
        ),
        _auth_rule(
            "has(self.secretRef) || has(self.username) || self.mechanism == 'External'",
            "username must be set where no secretRef holds it",
            "username",
            lambda auth: (
                auth.secret_ref is not None or auth.username is not None or auth.mechanism is Mechanism.EXTERNAL
            ),
        ),
        _auth_rule(
            "!has(self.username) || !has(self.usernameKey)",
            "usernameKey may not be set together with username",
            "usernameKey",
            lambda auth: auth.username is None or auth.username_key is None,
        ),
        _auth_rule(
            "has(self.secretRef) || !has(self.usernameKey)",
            "usernameKey may not be set without secretRef",
            "usernameKey",
            lambda auth: auth.secret_ref is not None or auth.username_key is None,
        ),
        _auth_rule(
            "has(self.secretRef) || !has(self.passwordKey)",
            "passwordKey may not be set without secretRef",
            "passwordKey",
            lambda auth: auth.secret_ref is not None or auth.password_key is None,
        ),
        _auth_rule(
            "!has(self.oauth2) || !has(self.passwordKey)",
            "passwordKey may not be set together with oauth2: a token takes the place of the password",
            "passwordKey",
            lambda auth: auth.oauth2 is None or auth.password_key is None,
        ),
        _auth_rule(
            "self.mechanism != 'External' || !has(self.passwordKey)",
            "passwordKey may not be set with mechanism External: the client certificate takes the place of the password",
            "passwordKey",
            lambda auth: auth.mechanism is not Mechanism.EXTERNAL or auth.password_key is None,
        ),
        _auth_rule(
            "!has(self.oauth2) || self.mechanism in ['Auto', 'XOAuth2', 'OAuthBearer']",
            "mechanism must be Auto, XOAuth2 or OAuthBearer together with oauth2",
            "mechanism",
            lambda auth: (
                auth.oauth2 is None or auth.mechanism in {Mechanism.AUTO, Mechanism.XOAUTH2, Mechanism.OAUTHBEARER}
            ),
        ),
        _auth_rule(
            "has(self.oauth2) || !(self.mechanism in ['XOAuth2', 'OAuthBearer'])",
            "oauth2 must be set with mechanism XOAuth2 or OAuthBearer",
            "oauth2",
            lambda auth: auth.oauth2 is not None or auth.mechanism not in {Mechanism.XOAUTH2, Mechanism.OAUTHBEARER},
        ),
        _auth_rule(
            "!has(self.oauth2) || !has(self.domain)",
            "domain may not be set together with oauth2",
            "domain",
            lambda auth: auth.oauth2 is None or auth.domain is None,
        ),
        _auth_rule(
            "!has(self.ses) || !has(self.oauth2)",
            "ses may not be set together with oauth2",
            "ses",
            lambda auth: auth.ses is None or auth.oauth2 is None,
        ),
        _auth_rule(
            "!has(self.ses) || self.mechanism in ['Auto', 'Plain', 'Login']",
            "mechanism must be Auto, Plain or Login together with ses",
            "mechanism",
            lambda auth: auth.ses is None or auth.mechanism in {Mechanism.AUTO, Mechanism.PLAIN, Mechanism.LOGIN},
        ),
    )

    secret_ref: LocalRef | None = Field(
        None,
        description='The Secret with the credentials. It must opt in: `type: watchbell.dev/smtp` or the label `watchbell.dev/smtp: "true"`.',
    )
    username_key: Annotated[f.SecretKey | None, InCode("username")] = Field(
        None, description="The Secret's key with the user name."
    )
    password_key: Annotated[f.SecretKey | None, InCode("password; with ses aws-secret-access-key")] = Field(
        None, description="The Secret's key with the password."
    )
    username: f.Username | None = Field(None, description="The user name, where it is no secret.")
    domain: f.LoginDomain | None = Field(None, description="A Windows domain: the login is `DOMAIN\\user`.")
    mechanism: Mechanism = Field(
        Mechanism.AUTO, description="The SASL mechanism; Auto takes the best that the server offers."
    )
    plaintext: Plaintext = Field(
        Plaintext.FORBID,
        description="Allow lets the password travel without TLS. It works only if the operator runs with --allow-insecure-tls.",
    )
    oauth2: OAuth2 | None = Field(None, description="Log in with an OAuth2 token instead of a password.")
    ses: Ses | None = Field(None, description="Derive the password for Amazon SES.")
