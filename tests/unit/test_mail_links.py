"""Links by a policy's template: names are escaped, hosts stay the policy's, and only the web is linked."""

from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchbell.mail.links import PLACEHOLDERS, LinkValues, expand, problem, web_address

VALUES = LinkValues("prod eu/1", "prod", "otel-gateway", "OOMKilled", "otel-1", "gateways-7f3a91")
GRAFANA = (
    "https://grafana.example/d/otel?var-cluster={cluster}&var-ns={namespace}&o={owner}&k={kind}&p={pod}&i={incident}"
)


def test_every_placeholder_is_filled_and_escaped() -> None:
    assert problem(GRAFANA) is None
    query = parse_qs(urlsplit(expand(GRAFANA, VALUES)).query)
    assert query == {
        "var-cluster": ["prod eu/1"],
        "var-ns": ["prod"],
        "o": ["otel-gateway"],
        "k": ["OOMKilled"],
        "p": ["otel-1"],
        "i": ["gateways-7f3a91"],
    }
    assert {"cluster", "namespace", "owner", "kind", "pod", "incident"} == PLACEHOLDERS


@given(st.text(max_size=100), st.text(st.characters(), max_size=100))
def test_no_name_of_a_pod_leads_a_link_elsewhere_or_out_of_its_parameter(pod: str, owner: str) -> None:
    address = expand("https://grafana.example/d/{owner}?pod={pod}#x", LinkValues(pod=pod, owner=owner))
    parts = urlsplit(address)
    assert (parts.scheme, parts.netloc, parts.fragment) == ("https", "grafana.example", "x")
    assert parts.path.count("/") == 2
    assert parts.query.count("=") == 1
    assert "&" not in parts.query


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("https://x.example/{nope}", "{nope}"),
        ("https://x.example/{", "other half"),
        ("https://x.example/}{", "other half"),
        ("javascript:alert(1)", "must begin with"),
        ("ftp://x.example/", "must begin with"),
        ("https://{pod}/", "in its host"),
        ("https://x.example@{owner}/", "in its host"),
        ("https://x.example/a b", "is not an address"),
        ('https://x.example/"><img', "is not an address"),
        ("https://", "is not an address"),
    ],
)
def test_a_template_that_leads_nowhere_is_refused_with_a_reason(template: str, said: str) -> None:
    found = problem(template)
    assert found is not None
    assert said in found


def test_the_cluster_may_stand_in_the_host() -> None:
    template = "https://{cluster}.grafana.example/"
    assert problem(template) is None
    assert expand(template, LinkValues(cluster="eu")) == "https://eu.grafana.example/"
    assert expand(template, LinkValues(cluster="evil.example/")) == "https://evil.example%2F.grafana.example/"


@pytest.mark.parametrize(
    "text",
    ["", "javascript:alert(1)", "https://x.example/\n", "http://x.example/" + "a" * 3000, "//x.example", "https://x'y"],
)
def test_what_is_no_web_address_is_no_link(text: str) -> None:
    assert web_address(text) == ""
