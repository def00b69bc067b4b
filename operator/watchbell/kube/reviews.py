"""Who we are, as the API server knows us. Asked by whoever names a missing right together with the command that gives it."""

from watchbell.kube.client import Client, Resource
from watchbell.kube.errors import ApiError

SELF_SUBJECT_REVIEWS = Resource("authentication.k8s.io", "v1", "selfsubjectreviews", namespaced=False)


async def who_am_i(client: Client) -> str:
    """The user name that the API server knows us by; empty where it does not tell."""
    body = {"apiVersion": SELF_SUBJECT_REVIEWS.api_version, "kind": "SelfSubjectReview"}
    try:
        answer = await client.create(SELF_SUBJECT_REVIEWS, body)
    except ApiError:
        return ""
    return str(answer.get("status", {}).get("userInfo", {}).get("username", ""))
