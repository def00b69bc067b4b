"""One Postfix for all relay tests: it starts once and each test uses recipients and markers of its own."""

from collections.abc import Iterator

import pytest
import trustme

from relay.postfix import Postfix, running_postfix
from smtprig import Authority


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority(trustme.CA())


@pytest.fixture(scope="session")
def postfix(authority: Authority) -> Iterator[Postfix]:
    with running_postfix(authority) as instance:
        yield instance
