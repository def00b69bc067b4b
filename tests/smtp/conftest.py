"""What the session tests share: a certificate authority, and a watch that no password gets into the logs."""

import logging
from collections.abc import Iterator

import pytest
import trustme

from smtprig import CANARY, USER, Authority, secret_forms


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority(trustme.CA())


@pytest.fixture(autouse=True)
def _no_password_in_logs(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("mail.log").setLevel(logging.CRITICAL)  # aiosmtpd's own log repeats every line that it hears
    yield
    for record in caplog.records:
        assert not any(form in record.getMessage() for form in secret_forms(USER, CANARY)), record
