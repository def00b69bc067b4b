"""The operator as seen from outside: its metrics follow what is there, and /livez tells a process that hangs from one that only waits."""

import asyncio
import re
import signal

from prometheus_client.parser import text_string_to_metric_families

from operatorrig import KINDS, until, world
from smtprig import CANARY, USER

RUN = "from watchbell.cli.main import main; sys.exit(main())"
STALLED_S = 8
CAN_STALL = f"import signal, sys, time; signal.signal(signal.SIGUSR1, lambda *_: time.sleep({STALLED_S})); {RUN}"
HEARS_TOO_LITTLE = f"import sys; from watchbell.kube import informer; informer._SILENT_MOST_S = 0.0; {RUN}"
MAIL = {"to": ["ops@example.org"], "subject": "Hello", "body": {"text": "Something happened.\n"}}


async def scraped(operator):
    """(name, labels) → value."""
    families = text_string_to_metric_families(await operator.metrics())
    return {
        (one.name, *(f"{key}={value}" for key, value in sorted(one.labels.items()))): one.value
        for family in families
        for one in family.samples
    }


async def alive(operator):
    return await operator.get("/livez", operator.health_port)


def of(figures, name, *labels):
    return {key: value for key, value in figures.items() if key[0] == name and set(labels) <= set(key)}


async def test_what_there_is_stands_in_the_metrics_and_goes_with_its_object(control_plane, namespace, tmp_path):
    async with world(control_plane, namespace, tmp_path) as at, at.operator() as operator:
        await operator.ready()
        await at.connector()
        await at.policy()
        await at.pod("gateway-0")
        await at.has("SmtpConnector", "default", "Ready", "True")
        await at.make("EmailMessage", "hello", MAIL)
        await at.crash("gateway-0", 3)
        await at.settled(2)

        async def counted():
            figures = await scraped(operator)
            done = of(figures, "watchbell_messages_total", "reason=AcceptedByServer")
            return figures if sum(done.values()) == 2 else None

        figures = await until(counted, "both mails are counted")
        mine = (f"namespace={namespace}", "name=default")
        assert list(of(figures, "watchbell_connector_ready", *mine).values()) == [1]
        assert of(figures, "watchbell_connector_condition", *mine, "type=Ready", "status=True", "reason=Proven")
        (expiry,) = of(figures, "watchbell_connector_tls_certificate_expiry_timestamp_seconds", *mine).values()
        assert expiry > 1_700_000_000
        fired = of(figures, "watchbell_alerts_firing", f"namespace={namespace}", "kind=CrashLoopBackOff")
        assert list(fired.values()) == [1]
        assert figures["watchbell_alerts_notified_total", "transition=Fired"] == 1
        assert figures["watchbell_reconcile_total", "queue=connectors", "result=Succeeded"] >= 1
        assert set(of(figures, "watchbell_work_failures_total").values()) == {0}
        streams = {key[1] for key in of(figures, "watchbell_stream_age_seconds")}
        assert {"stream=event loop", "stream=emailmessages", "stream=pods", "stream=smtpconnectors"} <= streams

        await at.client.delete(KINDS["SmtpConnector"], "default", namespace)
        await at.client.delete(KINDS["CollectorPolicy"], "collectors", namespace)

        async def forgotten():
            figures = await scraped(operator)
            return not of(figures, "watchbell_connector_ready") and not of(figures, "watchbell_alerts_firing")

        await until(forgotten, "nothing of them is left")
        text = await operator.metrics()
        assert not re.search('name="default"|policy="collectors"', text)
        for secret in (CANARY, USER, "ops@example.org", "gateway-0", "127.0.0.1", at.home):
            assert secret not in text


async def test_what_an_earlier_process_proved_is_shown_without_a_new_probe(control_plane, namespace, tmp_path):
    async with world(control_plane, namespace, tmp_path) as at:
        async with at.operator() as operator:
            await operator.ready()
            await at.connector()
            await at.has("SmtpConnector", "default", "Ready", "True")
            operator.kill()
        async with at.operator(name="next") as operator:
            await operator.ready()

            async def shown():
                return of(await scraped(operator), "watchbell_connector_condition", "type=Ready", "reason=Proven")

            await until(shown, "the conditions are shown")
            figures = await scraped(operator)
            assert of(figures, "watchbell_connector_tls_certificate_expiry_timestamp_seconds")
            assert not of(figures, "watchbell_connector_probe_total")


async def test_an_event_loop_that_stands_still_fails_livez_until_it_turns_again(control_plane, namespace, tmp_path):
    async with world(control_plane, namespace, tmp_path) as at, at.operator(code=CAN_STALL) as operator:
        await operator.ready()
        assert (await alive(operator))[0] == 200
        operator.signal(signal.SIGUSR1)

        async def is_silent():
            try:
                async with asyncio.timeout(2):
                    await alive(operator)
            except TimeoutError:
                return True
            return False

        await until(is_silent, "nobody answers")

        async def is_back():
            return (await alive(operator)) == (200, "ok\n")

        await until(is_back, "it answers again")

        async def has_lag():
            (count,) = of(await scraped(operator), "watchbell_event_loop_lag_seconds_bucket", "le=2.5").values()
            (all_,) = of(await scraped(operator), "watchbell_event_loop_lag_seconds_count").values()
            return all_ - count >= 1

        await until(has_lag, "the lag is counted")


async def test_a_watch_that_is_silent_for_too_long_fails_livez_and_is_named(control_plane, namespace, tmp_path):
    async with world(control_plane, namespace, tmp_path) as at, at.operator(code=HEARS_TOO_LITTLE) as operator:
        await operator.ready()

        async def names():
            code, text = await alive(operator)
            return code == 503 and "emailmessages was last heard of" in text

        await until(names, "the watch is named")
        await until(lambda: "this process is not alive" in operator.text, "the reason is logged")


async def test_a_standby_is_alive_and_shows_no_connector_of_the_leader_s(control_plane, namespace, tmp_path):
    async with (
        world(control_plane, namespace, tmp_path) as at,
        at.operator("--leader-elect", name="first") as first,
    ):
        await first.ready()
        await until(first.is_leading, "the first leads")
        await at.connector()
        await at.has("SmtpConnector", "default", "Ready", "True")
        async with at.operator("--leader-elect", name="second") as second:
            await second.ready()
            assert (await alive(second)) == (200, "ok\n")
            figures = await scraped(second)
            assert figures[("watchbell_leader",)] == 0
            assert not of(figures, "watchbell_connector_ready")
            assert of(await scraped(first), "watchbell_connector_ready")
