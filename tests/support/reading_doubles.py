"""Doubles of `response.raw`, as mocking libraries and replay tools build them."""

from __future__ import annotations

import io
from typing import Any

import requests
from requests.adapters import BaseAdapter


class Bare:
    """Expose only the named attributes of another raw object."""

    def __init__(self, raw: Any, *names: str) -> None:
        for name in names:
            setattr(self, name, getattr(raw, name))
        self.close = raw.close


class OnlyRead:
    """A raw object with only a `read` method, as the simplest doubles have."""

    def __init__(self, body: bytes) -> None:
        self._body = io.BytesIO(body)

    def read(self, size: int = -1) -> bytes:
        return self._body.read(size)

    def close(self) -> None:
        self._body.close()


class Replayed(OnlyRead):
    """A raw object as replay tools build it: no inner response, and a `read1` without keyword arguments."""

    def read1(self, size: int) -> bytes:
        return self._body.read(min(size, 5))

    def release_conn(self) -> None:
        self.released = True


class Answering(BaseAdapter):
    """A transport adapter that answers every request with the same body."""

    def __init__(self, raw: Any, kind: str = "text/event-stream", **headers: str) -> None:
        super().__init__()
        self.raw = raw
        self.headers = {"Content-Type": kind, **headers}
        self.sent: list[requests.PreparedRequest] = []
        self.settings: list[dict[str, Any]] = []

    def send(self, request: requests.PreparedRequest, **settings: Any) -> requests.Response:  # type: ignore[override]
        self.sent.append(request)
        self.settings.append(settings)
        response = requests.Response()
        response.status_code = 200
        response.url = str(request.url)
        response.request = request
        response.headers.update(self.headers)
        if isinstance(self.raw, bytes):
            response._content = self.raw
        else:
            response.raw = self.raw
        return response

    def close(self) -> None:
        """Do nothing: there are no connections to close."""
