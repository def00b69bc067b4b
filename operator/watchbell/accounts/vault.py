"""The Secrets of account mail: keys are read, hashes of codes are written. The edge to the API server; what is in them is decided elsewhere.

Secrets are read by `get` each time and never kept: a key that was rotated is used at once, and one that was taken away not again.
"""

import asyncio
import base64
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from watchbell.accounts import plans
from watchbell.accounts.keys import KeyRing, Trouble, keyring_of
from watchbell.api.account import AccountRecovery
from watchbell.api.reasons import Reason
from watchbell.kube.client import SECRETS, Client
from watchbell.kube.errors import Forbidden, NotFound
from watchbell.kube.grants import grant, operator_in


@dataclass(frozen=True, slots=True)
class Stored:
    """What the Secret with the hashes holds; `key_id` names the key that the codes were made from."""

    key_id: str
    hashes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Vault:
    """Both kinds of Secret. `home` is the operator's namespace, for the commands that messages hold. ApiErrors that pass are raised."""

    client: Client
    home: str

    async def keys(self, recovery: AccountRecovery) -> KeyRing | Trouble:
        """The keys that the AccountRecovery names."""
        namespace, name = recovery.metadata.namespace, recovery.spec.signing_key_secret_ref.name
        try:
            return keyring_of(await self.client.get(SECRETS, name, namespace))
        except NotFound:
            return Trouble(
                Reason.SECRET_NOT_FOUND,
                f"there is no Secret {name} in namespace {namespace}. Create it: head -c 32 /dev/urandom | base64 | tr -d '\\n' | "
                f"kubectl -n {namespace} create secret generic {name} --from-file=k1=/dev/stdin; "
                f"kubectl -n {namespace} label secret {name} watchbell.dev/signing-key=true",
            )
        except Forbidden:
            return self._forbidden(namespace, f"get Secret {name}", name, "get", only=name)

    async def make_codes(self, recovery: AccountRecovery, ring: KeyRing) -> Trouble | None:
        """Sees to it that the hashes stand, once for all; codes are mailed only after that."""
        namespace, name = recovery.metadata.namespace, plans.codes_name(recovery)
        try:
            there = await self.client.get(SECRETS, name, namespace)
            return None if _is_of(there, recovery) else plans.taken("Secret", name)
        except NotFound:
            hashes = await asyncio.to_thread(_hashes, ring, recovery.metadata.uid, recovery.spec.code_count)
        except Forbidden:
            return self._codes_forbidden(namespace, f"get Secret {name}")
        try:
            await self.client.create(SECRETS, plans.codes_secret(recovery, ring.signs, hashes), namespace)
        except Forbidden:
            return self._codes_forbidden(namespace, f"create Secret {name}")
        return None

    async def codes(self, recovery: AccountRecovery, ring: KeyRing) -> tuple[str, ...] | Trouble:
        """The codes whose hashes stand. If the key that made them is gone or another, they cannot be made again."""
        namespace, name = recovery.metadata.namespace, plans.codes_name(recovery)
        try:
            there = await self.client.get(SECRETS, name, namespace)
        except NotFound:
            return Trouble(
                Reason.SECRET_NOT_FOUND, f"there is no Secret {name} in namespace {namespace}: it was deleted"
            )
        except Forbidden:
            return self._codes_forbidden(namespace, f"get Secret {name}")
        if not _is_of(there, recovery):
            return plans.taken("Secret", name)
        stored = _stored(there)
        key = ring.keys.get(stored.key_id)
        if key is None:
            return Trouble(
                Reason.SECRET_KEY_MISSING,
                f"the codes were made from key {stored.key_id}, which is not in Secret "
                f"{recovery.spec.signing_key_secret_ref.name} any more; create another AccountRecovery",
            )
        found = await asyncio.to_thread(_made_again, key, recovery, stored)
        return found or Trouble(
            Reason.SECRET_MALFORMED,
            f"the hashes in Secret {name} are not those of the codes: it or the signing key was changed; create another AccountRecovery",
        )

    def _codes_forbidden(self, namespace: str, verb: str) -> Trouble:
        return self._forbidden(namespace, verb, "account-codes", "get,create")

    def _forbidden(self, namespace: str, what: str, role: str, verbs: str, *, only: str = "") -> Trouble:
        return Trouble(
            Reason.SECRET_FORBIDDEN,
            f"the operator may not {what} in namespace {namespace}. Allow it: "
            f"{grant(role, verbs, 'secrets', namespace, operator_in(self.home), only=only)}",
        )


def _hashes(ring: KeyRing, uid: str, number: int) -> tuple[str, ...]:
    # argon2 is imported with the first codes; most clusters never have any.
    from watchbell.accounts import codes  # noqa: PLC0415 - see above

    made = codes.derive(ring.signing_key, uid, number)
    return tuple(codes.slow_hash(one, secrets.token_bytes(codes.SALT_BYTES)) for one in made)


def _made_again(key: bytes, recovery: AccountRecovery, stored: Stored) -> tuple[str, ...]:
    from watchbell.accounts import codes  # noqa: PLC0415 - see above

    made = codes.derive(key, recovery.metadata.uid, recovery.spec.code_count)
    return made if len(stored.hashes) == len(made) and codes.fits(made[0], stored.hashes[0]) else ()


def _is_of(secret: Mapping[str, Any], recovery: AccountRecovery) -> bool:
    return plans.owner_uid(secret) == recovery.metadata.uid


def _stored(secret: Mapping[str, Any]) -> Stored:
    data = secret.get("data") or {}
    key_id, hashes = (_text(data.get(key, "")) for key in (plans.KEY_ID, plans.HASHES))
    return Stored(key_id, tuple(hashes.split()))


def _text(value: str) -> str:
    return base64.b64decode(value).decode("utf-8", "replace")
