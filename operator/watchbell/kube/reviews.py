"""Who we are, as the API server knows us. Asked by whoever names a missing right together with the command that gives it."""

from watchbell.kube.client import Client, Resource
from watchbell.kube.errors import ApiError

SELF_SUBJECT_REVIEWS = Resource("authentication.k8s.io", "v1", "selfsubjectreviews", namespaced=False)
_SERVICE_ACCOUNT = "system:serviceaccount:"


async def who_am_i(client: Client) -> str:
    """The user name that the API server knows us by; empty where it does not tell."""
    body = {"apiVersion": SELF_SUBJECT_REVIEWS.api_version, "kind": "SelfSubjectReview"}
    try:
        answer = await client.create(SELF_SUBJECT_REVIEWS, body)
    except ApiError:
        return ""
    return str(answer.get("status", {}).get("userInfo", {}).get("username", ""))


def subject_flag(user: str) -> str:
    """The user as `kubectl create rolebinding` takes it; the chart's service account where nobody knows."""
    if user.startswith(_SERVICE_ACCOUNT):
        return f"--serviceaccount={user.removeprefix(_SERVICE_ACCOUNT)}"
    return f"--user={user}" if user else "--serviceaccount=watchbell-system:watchbell"
