"""A silence from its beginning to the mail about its end, on a real API server: nobody is told meanwhile, and afterwards of everything, once."""

from datetime import UTC, datetime, timedelta

import pytest

from collectorrig import OURS, Site, component, condition, container, ended, mail_of, running_state, until
from kuberig import client_of
from watchbell.api.names import ANNOTATION_INCIDENTS, API_VERSION
from watchbell.api.times import stamp


def now() -> datetime:
    return datetime.now(UTC)


class Quiet(Site):
    """A site with silences."""

    def silence(self, name="maintenance", seconds=600.0, **matcher):
        matcher = {"field": "Owner", "operator": "In", "values": ["Deployment/gateway"]} | matcher
        body = {
            "apiVersion": API_VERSION,
            "kind": "AlertSilence",
            "metadata": {"name": name},
            "spec": {"matchers": [matcher], "endTime": stamp(now() + timedelta(seconds=seconds)), "comment": "upgrade"},
        }
        self.rest.post(f"{OURS}/{self.namespace}/alertsilences", body)

    def end_silence(self, name="maintenance"):
        self.rest.merge(f"{OURS}/{self.namespace}/alertsilences/{name}", {"spec": {"endTime": stamp(now())}})

    def silence_status(self, name="maintenance"):
        return self.rest.get(f"{OURS}/{self.namespace}/alertsilences/{name}").get("status", {})

    def is_active(self, name="maintenance"):
        return condition({"status": self.silence_status(name)}, "Active").get("status") == "True"

    def crash(self, pod):
        self.tell(pod, container(state=ended(now()), ready=False))

    def mend(self, pod, crashed):
        self.tell(pod, container(state=running_state(now()), lastState=ended(crashed), restartCount=1))

    def told(self):
        """Each mail as what it tells: `transition` for one incident, a tuple for a digest."""
        listed = [item["metadata"]["annotations"][ANNOTATION_INCIDENTS] for item in self.messages()]
        return sorted(tuple(entry.split(":")[2] for entry in text.split(",")) for text in listed)

    def quiet_incident(self):
        """The open incident, once its object says that it is silenced."""
        found = [item for item in self.incidents() if condition(item, "Silenced").get("status") == "True"]
        return found[0] if found else None


@pytest.fixture
def site(control_plane, namespace):
    made = Quiet(control_plane.rest(), namespace)
    made.make_pod("gateway-a")
    return made


async def test_what_is_silenced_is_opened_and_told_to_nobody_until_the_silence_ends(control_plane, site):
    site.make_pod("other-b", owner="other")
    site.silence()
    site.make_policy()
    async with client_of(control_plane) as client, component(client, site.namespace) as running:
        await until(site.is_active, "the silence is active")
        await until(lambda: running.collectors.matched_pods == 2, "the pods are seen")
        site.crash("gateway-a")
        incident = await until(site.quiet_incident, "the incident is there and silenced")
        assert incident["status"]["silencedBy"] == "maintenance"
        assert condition(incident, "Notified")["status"] == "False"
        assert condition(incident, "Notified")["reason"] == "Silenced"
        assert "maintenance" in condition(incident, "Silenced")["message"]
        await until(lambda: site.silence_status().get("matchedIncidents") == 1, "the silence counts it")
        assert site.silence_status()["heldBack"] == 1
        site.crash("other-b")
        await until(lambda: site.told() == [("Fired",)], "the other workload is told")
        assert "other" in site.messages()[0]["metadata"]["name"]
        site.end_silence()
        await until(lambda: site.told() == [("Fired",), ("Fired",)], "its end is told")
        (mail,) = [mail_of(item) for item in site.messages() if "other" not in item["metadata"]["name"]]
        assert "maintenance" in mail.subject
        assert "gateway" in mail.text
        assert "upgrade" in mail.text
        await until(lambda: site.silence_status().get("endedMessageTime"), "the silence says so")
        await until(lambda: not site.quiet_incident(), "the incident is silenced no more")
        await until(lambda: site.silence_status()["matchedIncidents"] == 0, "the silence mutes nothing")


async def test_what_came_and_went_under_a_silence_is_in_the_mail_about_its_end(control_plane, site):
    site.silence()
    site.make_policy()
    async with client_of(control_plane) as client, component(client, site.namespace) as running:
        await until(site.is_active, "the silence is active")
        await until(lambda: running.collectors.matched_pods == 1, "the pod is seen")
        crashed = now()
        site.tell("gateway-a", container(state=ended(crashed), ready=False))
        await until(site.quiet_incident, "the incident is there and silenced")
        site.mend("gateway-a", crashed)
        await until(
            lambda: condition(site.incidents()[0], "Resolved").get("status") == "True", "it is over, under the silence"
        )
        assert site.messages() == []
        site.end_silence()
        await until(lambda: site.told() == [("Resolved",)], "its end is told")
        assert "maintenance" in mail_of(site.messages()[0]).subject
        await until(lambda: site.incidents()[0]["status"].get("resolvedTime"), "the incident is closed")


async def test_an_incident_that_was_told_before_has_its_end_told_after_the_silence(control_plane, site):
    site.make_policy()
    async with client_of(control_plane) as client, component(client, site.namespace) as running:
        await until(lambda: running.collectors.matched_pods == 1, "the pod is seen")
        crashed = now()
        site.tell("gateway-a", container(state=ended(crashed), ready=False))
        await until(lambda: site.told() == [("Fired",)], "it is told")
        site.silence()
        await until(site.is_active, "the silence is active")
        site.mend("gateway-a", crashed)
        await until(
            lambda: condition(site.incidents()[0], "Resolved").get("status") == "True", "it is over, under the silence"
        )
        assert site.told() == [("Fired",)]
        site.end_silence()
        await until(lambda: site.told() == [("Fired",), ("Resolved",)], "its end is told")


@pytest.mark.parametrize("how", ["deleted", "run out"])
async def test_a_silence_that_is_gone_or_over_has_its_end_told(control_plane, site, how):
    site.silence(seconds=600 if how == "deleted" else 4)
    site.make_policy()
    async with client_of(control_plane) as client, component(client, site.namespace) as running:
        await until(site.is_active, "the silence is active")
        await until(lambda: running.collectors.matched_pods == 1, "the pod is seen")
        site.crash("gateway-a")
        await until(site.quiet_incident, "the incident is there and silenced")
        assert site.messages() == []
        if how == "deleted":
            site.rest.delete(f"{OURS}/{site.namespace}/alertsilences/maintenance")
        await until(lambda: site.told() == [("Fired",)], "what it held back is told")
        assert "maintenance" in mail_of(site.messages()[0]).subject


async def test_a_process_that_dies_in_a_silence_and_one_that_dies_at_its_end_tell_once(control_plane, site):
    site.silence()
    site.make_policy()
    async with client_of(control_plane) as client:
        async with component(client, site.namespace) as running:
            await until(site.is_active, "the silence is active")
            await until(lambda: running.collectors.matched_pods == 1, "the pod is seen")
            site.crash("gateway-a")
            await until(site.quiet_incident, "the incident is there and silenced")
        async with component(client, site.namespace) as running:
            await until(lambda: running.collectors.is_ready, "the next process has seen everything")
            site.end_silence()
            await until(site.messages, "its end is told")
        async with component(client, site.namespace) as running:
            await until(lambda: running.collectors.is_ready, "the third process has seen everything")
            await until(lambda: site.silence_status().get("endedMessageTime"), "the silence says that it is told")
            await until(
                lambda: condition(site.incidents()[0], "Notified").get("status") == "True", "the incident says so too"
            )
    assert site.told() == [("Fired",)]


async def test_an_incident_that_a_silence_found_open_and_untold_is_not_told_twice_by_two_silences(control_plane, site):
    site.silence()
    site.silence("other", seconds=1200)
    site.make_policy()
    async with client_of(control_plane) as client, component(client, site.namespace) as running:
        await until(lambda: site.is_active() and site.is_active("other"), "both silences are active")
        await until(lambda: running.collectors.matched_pods == 1, "the pod is seen")
        site.crash("gateway-a")
        incident = await until(site.quiet_incident, "the incident is there and silenced")
        assert incident["status"]["silencedBy"] == "other"
        site.end_silence()
        await until(lambda: site.silence_status().get("endedMessageTime"), "the first silence held nothing back")
        assert site.messages() == []
        site.end_silence("other")
        await until(lambda: site.told() == [("Fired",)], "the end of the last one is told")
