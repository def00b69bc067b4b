"""Every status that a kubelet writes for the pods of a namespace, with the time at which it came."""

import http.client
import json
import ssl
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from controlplane import Access


@dataclass(frozen=True, slots=True)
class Seen:
    """A status and when it came, a reading of time.monotonic()."""

    at_s: float
    status: dict[str, Any]


def _status(pod: dict[str, Any]) -> dict[str, Any]:
    status: dict[str, Any] = pod["status"]
    return status


View = Callable[[dict[str, Any]], dict[str, Any]]
"""What of a pod is kept; the status, if nothing else is asked for."""


class Watch:
    """What came so far, for each pod by name. Filled by a thread of ``watched``."""

    def __init__(self, view: View = _status) -> None:
        self._view = view
        self._seen: dict[str, list[Seen]] = {}
        self._news = threading.Condition()

    def add(self, pod: dict[str, Any]) -> None:
        """Keeps the pod's status if it is another one than the last."""
        status = self._view(pod)
        with self._news:
            seen = self._seen.setdefault(pod["metadata"]["name"], [])
            if not seen or seen[-1].status != status:
                seen.append(Seen(time.monotonic(), status))
            self._news.notify_all()

    def of(self, pod: str) -> tuple[Seen, ...]:
        """The statuses of one pod, oldest first."""
        with self._news:
            return tuple(self._seen.get(pod, ()))


@contextmanager
def watched(access: Access, namespace: str, view: View = _status) -> Iterator[Watch]:
    """Watches the pods of ``namespace`` while the block runs."""
    watch = Watch(view)
    url = urllib.parse.urlsplit(access.url)
    tls = ssl.create_default_context(cadata=access.ca_pem)
    connection = http.client.HTTPSConnection(url.hostname or "", url.port, context=tls)
    connection.request(
        "GET",
        f"/api/v1/namespaces/{namespace}/pods?watch=1&timeoutSeconds=3600",
        headers={"Authorization": f"Bearer {access.token}", "Accept": "application/json"},
    )
    answer = connection.getresponse()
    over = threading.Event()

    def read() -> None:
        try:
            while line := answer.readline():
                event = json.loads(line)
                if event["type"] in ("ADDED", "MODIFIED"):
                    watch.add(event["object"])
        except (OSError, ValueError, AttributeError):
            # The socket was shut below: the only way to end a read from outside.
            if not over.is_set():
                raise

    reader = threading.Thread(target=read, name="watch")
    reader.start()
    try:
        yield watch
    finally:
        over.set()
        if connection.sock is not None:
            connection.sock.shutdown(2)
        reader.join()
        answer.close()
        connection.close()
