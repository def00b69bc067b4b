"""One command in a container of a pod, as `kubectl exec` runs it: a websocket through the API server to the kubelet (protocol `v4.channel.k8s.io`).

Before: `access`. After: the doctor, which runs itself inside of the operator's pod. The operator never loads this. Every frame begins with the number
of its channel: 1 what the command prints, 2 its errors, 3 how it ended (a Status).
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp

from watchbell.kube.access import Access
from watchbell.kube.errors import ApiError, Forbidden, Unreachable, error_from_response
from watchbell.kube.grants import grant
from watchbell.kube.resources import PODS

PROTOCOL = "v4.channel.k8s.io"
OUT, ERR, STATUS = 1, 2, 3
OUTPUT_MAX_BYTES = 32 * 1024 * 1024
_CONNECT_S = 15.0


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command printed and its exit code; -1 = it did not get as far as that, and `err` says why."""

    out: str
    err: str
    code: int


async def run_in_pod(access: Access, namespace: str, pod: str, container: str, command: Sequence[str]) -> Ran:
    """Runs it without a terminal and without input. Raises ApiError when the API server refuses, or the connection breaks."""
    params = [
        ("container", container),
        ("stdout", "true"),
        ("stderr", "true"),
        *(("command", word) for word in command),
    ]
    url = f"{access.server.rstrip('/')}{PODS.path(namespace, pod, 'exec')}"
    token = (await asyncio.to_thread(access.token) if access.is_token_slow else access.token()) if access.token else ""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.ws_connect(
                url,
                params=params,
                headers=headers,
                protocols=(PROTOCOL,),
                ssl=access.ssl or True,
                server_hostname=access.server_name,
                max_msg_size=OUTPUT_MAX_BYTES,
            ) as socket,
        ):
            return await _ended(socket)
    except aiohttp.WSServerHandshakeError as error:
        raise _refused(error.status, namespace, pod) from error
    except (aiohttp.ClientError, OSError) as error:
        raise Unreachable(
            f"the command in pod {pod} could not be followed: {str(error) or type(error).__name__}"
        ) from error


async def _ended(socket: "aiohttp.ClientWebSocketResponse[bool]") -> Ran:
    parts: dict[int, bytearray] = {OUT: bytearray(), ERR: bytearray(), STATUS: bytearray()}
    async for message in socket:
        if message.type is aiohttp.WSMsgType.ERROR:
            raise Unreachable(f"the connection to the pod broke: {socket.exception()}")
        data = bytes(message.data) if message.type is aiohttp.WSMsgType.BINARY else b""
        if data and data[0] in parts:
            parts[data[0]] += data[1:]
        if sum(map(len, parts.values())) > OUTPUT_MAX_BYTES:
            raise Unreachable(f"the command printed more than {OUTPUT_MAX_BYTES} bytes")
    out, err = (bytes(parts[channel]).decode("utf-8", "replace") for channel in (OUT, ERR))
    code, why = exit_code(bytes(parts[STATUS]))
    return Ran(out, err or why, code)


def exit_code(status: bytes) -> tuple[int, str]:
    """Of the Status that ends a command: its exit code, and the message if there is none (the program is missing, the pod is gone)."""
    try:
        told = json.loads(status or b"{}")
    except ValueError:
        told = {}
    if told.get("status") == "Success":
        return 0, ""
    causes = (told.get("details") or {}).get("causes") or ()
    codes = [cause.get("message", "") for cause in causes if cause.get("reason") == "ExitCode"]
    if codes and str(codes[0]).isdecimal():
        return int(codes[0]), ""
    return -1, str(told.get("message") or "the connection ended before the command did")


def _refused(status: int, namespace: str, pod: str) -> ApiError:
    if status == 403:
        cure = f"an administrator allows it with: {grant('exec', 'get,create', 'pods/exec', namespace, '--user=YOU')}"
        return Forbidden(403, "Forbidden", f"you may not run commands in pods of namespace {namespace}; {cure}")
    found = error_from_response(status, b"")
    return (
        type(found)(found.status, found.reason, f"pod {pod} in namespace {namespace} takes no command ({status})")
        if type(found) is ApiError
        else found
    )
