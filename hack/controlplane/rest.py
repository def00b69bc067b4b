"""A small blocking client for the Kubernetes API: JSON in, JSON out. For set-up and assertions, not for the operator."""

import http.client
import json
import ssl
import urllib.parse
from collections.abc import Mapping
from typing import Any

from controlplane.errors import ControlPlaneError

_LARGEST_BYTES = 256 * 1024 * 1024
_TIMEOUT_S = 30.0


class RestError(ControlPlaneError):
    """The API server said no: ``status`` is the HTTP code, ``message`` its reason in words, ``text`` the whole body."""

    def __init__(self, method: str, path: str, status: int, text: str) -> None:
        self.status = status
        self.text = text
        self.message = _message(text)
        super().__init__(f"{method} {path} was answered with {status}: {self.message}")


def _message(text: str) -> str:
    try:
        return str(json.loads(text)["message"])
    except (ValueError, LookupError, TypeError):
        return text


class Rest:
    """Requests to one API server as one identity. Each opens its own connection, so any thread may use it."""

    def __init__(self, url: str, ca_pem: str | None, token: str | None, *, impersonate: str | None = None) -> None:
        parts = urllib.parse.urlsplit(url)
        self._host, self._port, self._prefix = parts.hostname or "", parts.port or 443, parts.path.rstrip("/")
        self._tls = ssl.create_default_context(cadata=ca_pem) if ca_pem else ssl.create_default_context()
        self._headers = {"Accept": "application/json"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        if impersonate is not None:
            self._headers["Impersonate-User"] = impersonate

    def get(self, path: str) -> dict[str, Any]:
        """The object or list at ``path``."""
        return self.request("GET", path)

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Creates ``body`` in the collection at ``path``."""
        return self.request("POST", path, body)

    def put(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Replaces the object at ``path``."""
        return self.request("PUT", path, body)

    def delete(self, path: str) -> dict[str, Any]:
        """Deletes the object at ``path``."""
        return self.request("DELETE", path)

    def merge(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """A JSON merge patch."""
        return self.request("PATCH", path, body, content_type="application/merge-patch+json")

    def apply(self, path: str, body: Mapping[str, Any], manager: str = "test", *, force: bool = True) -> dict[str, Any]:
        """Server-side apply of ``body`` as field manager ``manager``."""
        query = urllib.parse.urlencode({"fieldManager": manager, "force": "true" if force else "false"})
        return self.request("PATCH", f"{path}?{query}", body, content_type="application/apply-patch+yaml")

    def text(self, path: str) -> str:
        """What is at ``path``, as text: health checks, metrics, logs."""
        return self._exchange("GET", path, None, "")

    def request(
        self, method: str, path: str, body: object = None, *, content_type: str = "application/json"
    ) -> dict[str, Any]:
        """The parsed answer; a code of 400 or more raises RestError."""
        content = None if body is None else json.dumps(body).encode()
        parsed: dict[str, Any] = json.loads(self._exchange(method, path, content, content_type))
        return parsed

    def _exchange(self, method: str, path: str, content: bytes | None, content_type: str) -> str:
        connection = http.client.HTTPSConnection(self._host, self._port, timeout=_TIMEOUT_S, context=self._tls)
        try:
            headers = {**self._headers, "Content-Type": content_type} if content is not None else self._headers
            connection.request(method, self._prefix + path, content, headers)
            answer = connection.getresponse()
            text = answer.read(_LARGEST_BYTES).decode()
        finally:
            connection.close()
        if answer.status >= 400:
            raise RestError(method, path, answer.status, text)
        return text
