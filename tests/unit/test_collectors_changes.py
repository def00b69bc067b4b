"""What changed before it broke, in words."""

from datetime import timedelta

import msgspec
import pytest

from podrig import EPOCH, stamp
from watchbell.collectors.seen.changes import SENTENCES_MAX, changed_meanwhile, duration, what_changed
from watchbell.collectors.seen.shape import Template
from watchbell.collectors.seen.workload import Revision, read_workload, revisions_of

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
BASE = {"name": "collector", "image": "otel/x:1", "args": ["--config=/conf/a.yaml"]}


def revision(number, *containers, time=EPOCH - 3 * MINUTE, annotations=None, **spec):
    body = {"metadata": {"annotations": annotations or {}}, "spec": {"containers": list(containers or (BASE,))} | spec}
    return Revision(number, msgspec.json.decode(msgspec.json.encode(body), type=Template), time)


OLD = revision("11")


def changed(**container):
    return revision("12", BASE | container)


WHEN = ", 3 min before (revision 12)"
SENTENCES = {
    "image": (changed(image="otel/x:2"), ["Image of container collector: otel/x:1 → otel/x:2"]),
    "command": (changed(command=["/otelcol"]), ["Command of container collector changed"]),
    "arguments": (changed(args=["--token=hunter2"]), ["Arguments of container collector changed"]),
    "environment": (
        changed(env=[{"name": "TOKEN", "value": "hunter2"}]),
        ["Environment of container collector changed: TOKEN"],
    ),
    "where the environment comes from": (
        changed(envFrom=[{"secretRef": {"name": "otel"}}]),
        [
            "Environment of container collector changed: where it comes from",
            "ConfigMaps and Secrets that it reads changed: Secret otel",
        ],
    ),
    "memory": (
        changed(resources={"limits": {"memory": "1Gi"}}),
        ["Resources of container collector: limits.memory none → 1Gi"],
    ),
    "rights": (
        changed(securityContext={"privileged": True}),
        ["Security context of container collector changed: privileged"],
    ),
    "a container more and one less": (
        revision("12", BASE | {"name": "other"}),
        ["Container other is new, with image otel/x:1", "Container collector is gone"],
    ),
    "its account": (revision("12", serviceAccountName="admin"), ["Service account: default → admin"]),
    "its configuration": (
        revision("12", annotations={"checksum/config": "b"}),
        ["Annotations of the pod template changed: checksum/config"],
    ),
    "nothing": (revision("12"), []),
}


@pytest.mark.parametrize("case", SENTENCES)
def test_what_changed_is_told_in_a_sentence_and_no_secret_with_it(case):
    after, sentences = SENTENCES[case]
    told = what_changed((OLD, after), EPOCH, EPOCH)
    assert list(told) == [sentence + WHEN for sentence in sentences]
    assert "hunter2" not in "".join(told)


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (revision("12", BASE | {"image": "b"}, time=EPOCH + 90 * MINUTE), "b, 1 h after it began (revision 12)"),
        (revision("12", BASE | {"image": "b"}, time=None), "b (revision 12)"),
        (revision("", BASE | {"image": "b"}, time=EPOCH - 2 * DAY), "b, 2 d before"),
    ],
)
def test_it_is_told_when_it_changed_as_far_as_anybody_knows(after, words):
    (told,) = what_changed((OLD, after), EPOCH, EPOCH + 2 * DAY)
    assert told.endswith(words)


def test_what_is_older_than_a_week_or_the_first_of_its_kind_is_no_change():
    old_change = revision("12", BASE | {"image": "b"}, time=EPOCH - 8 * DAY)
    assert what_changed((OLD, old_change), EPOCH, EPOCH) == ()
    assert what_changed((OLD,), EPOCH, EPOCH) == ()
    assert what_changed((), EPOCH, EPOCH) == ()


def test_very_many_changes_stay_a_short_list():
    many = revision("12", *(BASE | {"name": f"c{number}"} for number in range(40)))
    told = what_changed((OLD, many), EPOCH, EPOCH)
    assert len(told) == SENTENCES_MAX
    assert told[-1] == f"34 more differences{WHEN}"


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (59.9, "59 s"), (60, "1 min"), (3599, "59 min"), (7200, "2 h"), (86_400, "1 d")]
)
def test_a_duration_is_told_in_one_unit(seconds, words):
    assert duration(seconds) == words


def replica_set(number, image, at):
    meta = {
        "name": f"gateway-{number}",
        "creationTimestamp": stamp(at),
        "annotations": {"deployment.kubernetes.io/revision": number},
    }
    body = {"metadata": meta, "spec": {"template": {"spec": {"containers": [{"name": "collector", "image": image}]}}}}
    return read_workload(msgspec.json.encode(body), "ReplicaSet")


def test_a_deployments_revisions_are_in_the_order_of_their_numbers():
    sets = (replica_set("10", "c", EPOCH), replica_set("9", "b", EPOCH - DAY), replica_set("x", "z", EPOCH))
    assert [(one.number, one.time) for one in revisions_of(sets)] == [("9", EPOCH - DAY), ("10", EPOCH)]
    (told,) = what_changed(revisions_of(sets), EPOCH, EPOCH)
    assert told == "Image of container collector: b → c, 0 s before (revision 10)"


def test_after_a_roll_back_the_age_of_the_old_replica_set_is_not_taken_for_the_time_of_the_change():
    sets = (replica_set("3", "a", EPOCH - 9 * DAY), replica_set("2", "b", EPOCH - DAY))
    (told,) = what_changed(revisions_of(sets), EPOCH, EPOCH)
    assert told == "Image of container collector: b → a (revision 3)"


def test_what_mended_it_is_what_changed_between_its_beginning_and_its_end():
    broke = revision("12", BASE | {"image": "b"}, time=EPOCH - MINUTE)
    worse = revision("13", BASE | {"image": "c"}, time=EPOCH + MINUTE)
    mended = revision("14", BASE | {"image": "d"}, time=EPOCH + 2 * MINUTE)
    told = changed_meanwhile((OLD, broke, worse, mended), EPOCH, EPOCH + 9 * MINUTE)
    assert told == ("Image of container collector: b → d, 2 min after it began (revision 14)",)


@pytest.mark.parametrize(
    "revisions",
    [
        (),
        (OLD,),
        (OLD, revision("12", BASE | {"image": "b"}, time=EPOCH - MINUTE)),
        (OLD, revision("12", BASE | {"image": "b"}, time=EPOCH + DAY)),
        (OLD, revision("12", BASE | {"image": "b"}, time=None)),
        (revision("1", time=EPOCH + MINUTE),),
    ],
)
def test_what_changed_before_after_or_nobody_knows_when_is_not_told_as_what_mended_it(revisions):
    assert changed_meanwhile(revisions, EPOCH, EPOCH + 9 * MINUTE) == ()
