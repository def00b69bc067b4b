"""One kind in several namespaces as one picture."""

from kuberig import Settings, client_of, fresh_namespace, make, running, until
from watchbell.kube.client import CONFIGMAPS, custom
from watchbell.kube.errors import Forbidden, NotFound
from watchbell.kube.informers import Informers


async def test_the_objects_of_the_chosen_namespaces_are_one_mapping_and_those_of_others_are_not_in_it(control_plane):
    async with (
        client_of(control_plane) as client,
        fresh_namespace(client) as one,
        fresh_namespace(client) as two,
        fresh_namespace(client) as other,
    ):
        for namespace in (one, two, other):
            await make(client, namespace, "mark")
        told: list[str] = []
        seen = Informers(
            client,
            CONFIGMAPS,
            Settings,
            (one, two),
            field_selector="metadata.name=mark",
            on_change=lambda old, new: told.append((new or old).metadata.namespace),
        )
        assert not seen.is_synced
        async with running(seen.run()):
            await until(lambda: seen.is_synced)

            assert sorted(told) == sorted([one, two])
            assert set(seen) == {(one, "mark"), (two, "mark")}
            assert len(seen) == 2
            assert (one, "mark") in seen
            assert (other, "mark") not in seen
            assert {item.metadata.namespace for item in seen.values()} == {one, two}
            assert seen.get((other, "mark")) is None
            assert seen.get((two, "mark")).metadata.namespace == two
            await client.delete(CONFIGMAPS, "mark", two)
            await until(lambda: (two, "mark") not in seen)


async def test_no_namespace_means_all_of_them(control_plane):
    async with client_of(control_plane) as client, fresh_namespace(client) as one, fresh_namespace(client) as two:
        for namespace in (one, two):
            await make(client, namespace, "everywhere")
        seen = Informers(
            client, CONFIGMAPS, Settings, (), field_selector="metadata.name=everywhere", on_change=lambda *_: None
        )
        async with running(seen.run()):
            await until(lambda: seen.is_synced)

            assert {(one, "everywhere"), (two, "everywhere")} <= set(seen)


async def test_a_picture_that_cannot_be_had_is_settled_but_not_synced_and_says_why(control_plane):
    async with client_of(control_plane) as admin, fresh_namespace(admin) as namespace:
        async with client_of(control_plane, "plain") as client:
            refused = Informers(client, CONFIGMAPS, Settings, (namespace,), on_change=lambda *_: None)
            async with running(refused.run()):
                await until(lambda: refused.is_settled)

                assert isinstance(refused.failure, Forbidden)
                assert not refused.is_synced
        unknown = Informers(admin, custom("nosuchthings"), Settings, (), on_change=lambda *_: None)
        async with running(unknown.run()):
            await until(lambda: isinstance(unknown.failure, NotFound))
            assert not unknown.is_synced
