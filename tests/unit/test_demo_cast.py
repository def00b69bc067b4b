"""The demo's manifests say what its story needs: what drifts is in the template, and what is selected stays selected."""

import yaml

from demo import manifests as m
from demo.cast import FIRST, SECOND
from demo.controllers import LABELS


def test_the_policy_takes_the_pods_of_both_casts():
    policy = next(yaml.safe_load_all(m.policy()))
    wanted = policy["spec"]["selector"]["matchLabels"].items()
    real = next(yaml.safe_load_all(m.collector("busybox", m.BROKEN)))["spec"]["template"]["metadata"]["labels"]
    assert wanted <= LABELS.items()
    assert wanted <= real.items()


def test_the_label_that_drifts_is_of_the_template_and_selects_nothing():
    deployment = next(yaml.safe_load_all(m.collector("busybox", m.MENDED)))
    assert deployment["spec"]["template"]["metadata"]["labels"]["team"] == "telemetry"
    assert "team" not in deployment["spec"]["selector"]["matchLabels"]
    assert "team" not in next(yaml.safe_load_all(m.policy()))["spec"]["selector"]["matchLabels"]


def test_what_mends_the_crash_is_another_template_and_another_pod():
    assert FIRST.image != SECOND.image
    assert FIRST.pod != SECOND.pod
    assert m.DRIFTED_IMAGE not in {FIRST.image, SECOND.image}
    assert m.BROKEN != m.MENDED
