"""Digests (pure): what an `imageID` tells of an image, and the hashes of a baseline, the same in the operator and in the command line.

Before: container statuses, shapes and ConfigMaps. After: `baseline` keeps them, `drift` compares them. All hashes are `sha256:` and 64 hex digits,
as image digests are, so that one look tells what they are.
"""

import hmac
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import pbkdf2_hmac, sha256

import msgspec

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_ENV_SALT = b"watchbell/env/v1"
_ENV_ROUNDS = 20_000
"""Some ten milliseconds for one env list, once: who reads a hash and guesses has to pay them for each guess."""


@lru_cache(maxsize=4096)
def image_digest(image_id: str) -> str:
    """The digest by which a registry knows the image (`sha256:…`); empty when the runtime tells none.

    Forms: `docker-pullable://repo@sha256:…` (dockershim), `repo@sha256:…` (containerd, CRI-O). A bare `sha256:…` or `docker://sha256:…` is the hash
    of the image's configuration, and a bare hex number CRI-O's own: neither can be compared with a registry's digest. The digest may be of an index
    or of one platform's manifest, which no status tells; hence a baseline lists several.
    """
    repository, at, digest = image_id.rpartition("@")
    return digest if at and repository and _DIGEST.fullmatch(digest) else ""


def without_digest(image: str) -> tuple[str, str]:
    """An image reference as (`repo:tag`, digest)."""
    name, _, digest = image.partition("@")
    return name, digest


def is_same_image(expected: str, actual: str) -> bool:
    """Whether a pod's image is the template's. Admission (Kyverno, Sigstore, Connaisseur) may add a digest to a tag, or put one in its place."""
    if expected == actual:
        return True
    (wanted, wanted_digest), (name, digest) = without_digest(expected), without_digest(actual)
    if wanted_digest or not digest:
        return False
    return name in (wanted, _repository(wanted))


def _repository(name: str) -> str:
    """Without the tag; a colon before a slash is a port's."""
    head, colon, tag = name.rpartition(":")
    return head if colon and "/" not in tag else name


def text_hash(value: object) -> str:
    """Of any tree of plain values, whatever the order of its keys."""
    return f"sha256:{sha256(msgspec.json.encode(value, order='deterministic')).hexdigest()}"


def data_hash(body: Mapping[str, object]) -> str:
    """Of a ConfigMap's content: `data` and `binaryData`, nothing of its metadata."""
    return text_hash({"data": body.get("data") or {}, "binaryData": body.get("binaryData") or {}})


def env_hash(pairs: Iterable[tuple[str, str]]) -> str:
    """Of (name, digest) pairs of an env list as `shape` has them, in any order.

    HMAC-SHA256 with the key `watchbell/env/v1` over the pairs' JSON, then PBKDF2-HMAC-SHA256 with the same salt: no value can be read from it, and a
    weak one not be guessed in passing.
    """
    return _stretched(hmac.digest(_ENV_SALT, msgspec.json.encode(sorted(pairs)), "sha256"))


@lru_cache(maxsize=1024)
def _stretched(inner: bytes) -> str:
    return f"sha256:{pbkdf2_hmac('sha256', inner, _ENV_SALT, _ENV_ROUNDS).hex()}"
