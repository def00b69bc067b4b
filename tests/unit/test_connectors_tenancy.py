import pytest

from watchbell.api.connector import AllowedNamespaces
from watchbell.api.enums import Use
from watchbell.api.meta import LabelSelector, selects
from watchbell.api.reasons import Reason
from watchbell.connectors.tenancy import namespace_refusal, sender_refusal, use_refusal


@pytest.mark.parametrize(
    ("rule", "namespace", "labels", "allowed"),
    [
        ({"from": "All"}, "shop", {}, True),
        ({"from": "Names", "names": ["shop"]}, "shop", {}, True),
        ({"from": "Names", "names": ["shop"]}, "shop2", {}, False),
        ({"from": "Selector", "selector": {"matchLabels": {"mail": "yes"}}}, "shop", {"mail": "yes", "x": "y"}, True),
        ({"from": "Selector", "selector": {"matchLabels": {"mail": "yes"}}}, "shop", {}, False),
    ],
)
def test_a_cluster_connector_serves_the_namespaces_that_it_names(rule, namespace, labels, allowed):
    refusal = namespace_refusal(AllowedNamespaces.model_validate(rule), "default", namespace, labels)
    assert (refusal is None) is allowed
    if refusal is not None:
        assert refusal.reason is Reason.NAMESPACE_NOT_ALLOWED
        assert namespace in refusal.message


@pytest.mark.parametrize(
    ("expression", "labels", "holds"),
    [
        ({"key": "t", "operator": "In", "values": ["a", "b"]}, {"t": "b"}, True),
        ({"key": "t", "operator": "In", "values": ["a"]}, {}, False),
        ({"key": "t", "operator": "NotIn", "values": ["a"]}, {}, True),
        ({"key": "t", "operator": "NotIn", "values": ["a"]}, {"t": "a"}, False),
        ({"key": "t", "operator": "Exists"}, {"t": ""}, True),
        ({"key": "t", "operator": "Exists"}, {}, False),
        ({"key": "t", "operator": "DoesNotExist"}, {}, True),
        ({"key": "t", "operator": "DoesNotExist"}, {"t": "a"}, False),
    ],
)
def test_selectors_mean_what_kubernetes_means(expression, labels, holds):
    assert selects(LabelSelector.model_validate({"matchExpressions": [expression]}), labels) is holds


def test_a_use_that_is_not_listed_is_refused_and_no_list_allows_all():
    assert use_refusal((), "default", Use.MESSAGE) is None
    assert use_refusal((Use.ALERT,), "default", Use.ALERT) is None
    refusal = use_refusal((Use.ALERT,), "default", Use.MESSAGE)
    assert refusal is not None
    assert refusal.reason is Reason.USE_NOT_ALLOWED


@pytest.mark.parametrize(
    ("allowed", "address", "is_allowed"),
    [
        ((), "any@where.example", True),
        (("team@example.com",), "Team@Example.com", True),
        (("*@example.com",), "x@example.com", True),
        (("*@example.com",), "x@sub.example.com", False),
        (("*@example.com",), "x@evil-example.com", False),
    ],
)
def test_a_child_may_only_use_the_from_addresses_that_its_parent_allows(allowed, address, is_allowed):
    assert (sender_refusal(allowed, "default", address) is None) is is_allowed
