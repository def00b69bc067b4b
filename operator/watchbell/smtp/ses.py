"""The SMTP password of Amazon SES, made from an IAM secret access key. Pure; used by whoever turns `auth.ses` into a login."""

import base64
import hashlib
import hmac

from watchbell.api.sensitive import Sensitive

_VERSION = b"\x04"
_STEPS = ("ses", "aws4_request", "SendRawEmail")
_DATE = "11111111"


def derive_password(secret_access_key: Sensitive, region: str) -> Sensitive:
    """The SMTP password that belongs to the key in `region` (`eu-central-1`); the user name is the access key's ID.

    Source: Amazon SES developer guide, "Obtaining SES SMTP credentials by converting existing AWS credentials". A password fits one region only.
    """
    signature = ("AWS4" + secret_access_key.reveal()).encode()
    for step in (_DATE, region, *_STEPS):
        signature = hmac.new(signature, step.encode(), hashlib.sha256).digest()
    return Sensitive(base64.b64encode(_VERSION + signature).decode())
