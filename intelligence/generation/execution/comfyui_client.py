"""Talks to one ComfyUI server: its queue, history, files and events. Addresses come from configuration alone."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.parse import urlencode

from ...errors import IntelligentGenerationError

ANSWER_SECONDS = 5.0
"""Time that a server that is well has for an answer."""

CONNECT_AGAIN_SECONDS = 2.0
"""Between attempts to open the websocket of a server that has none, or whose proxy lets none through."""

MAX_BYTES = 256 * 1024 * 1024
"""Size of an answer, pictures included."""

GATEWAY_ERRORS = (502, 503, 504)
"""HTTP statuses by which a proxy says that the server behind it is gone."""

ENDINGS = ("execution_success", "execution_error", "execution_interrupted")


class ServerUnreachableError(IntelligentGenerationError, OSError):
    """A server does not answer, or the connection broke."""


class ServerRefusedError(IntelligentGenerationError, RuntimeError):
    """A server answered with an error."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


@dataclass(frozen=True)
class Step:
    """An event of a running prompt."""

    done: int = 0
    total: int = 0
    ended: bool = False


class ComfyUIClient:
    """The API of a server at `url`, such as `http://127.0.0.1:8188`. Calls block; not safe for several threads.

    Every call raises ServerUnreachableError or ServerRefusedError.
    """

    def __init__(self, url: str, client_id: str) -> None:
        self.url = url.rstrip("/")
        self.client_id = client_id
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects()).open
        self._socket: Any = None
        self._connection = ExitStack()
        self._connect_at = 0.0
        """Time of the next attempt, of `time.monotonic`."""

    def get(self, path: str) -> Any:
        """Return the JSON at a path."""
        return self._json(self._request(path))

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Post JSON; return the JSON of the answer, None where it is empty."""
        return self._json(self._request(path, json.dumps(body).encode()))

    def history(self, prompt_id: str) -> dict[str, Any] | None:
        """Return the record of a prompt that has ended; None: it has not, or is unknown."""
        found = self.get(f"/history/{prompt_id}").get(prompt_id)
        return found if isinstance(found, dict) else None

    def is_queued(self, prompt_id: str) -> bool:
        """Return True where a prompt runs or waits."""
        queue = self.get("/queue")
        return any(item[1] == prompt_id for name in ("queue_running", "queue_pending") for item in queue[name])

    def queue(self, prompt_id: str, graph: dict[str, Any]) -> None:
        """Queue a prompt under the caller's id."""
        answer = self.post("/prompt", {"prompt": graph, "prompt_id": prompt_id, "client_id": self.client_id})
        if answer.get("node_errors"):
            self.end(prompt_id)
            raise ServerRefusedError(f"{self.url}: {_node_errors(answer['node_errors'])}")

    def end(self, prompt_id: str) -> None:
        """Take a prompt out of the queue, or interrupt it at its next step."""
        self.post("/queue", {"delete": [prompt_id]})
        self.post("/interrupt", {"prompt_id": prompt_id})

    def forget(self, prompt_id: str) -> None:
        """Delete a prompt from the history, so that its id can be queued again."""
        self.post("/history", {"delete": [prompt_id]})

    def view(self, image: dict[str, Any]) -> bytes:
        """Return a file that a node names."""
        names = {name: str(image.get(name, "")) for name in ("filename", "subfolder", "type")}
        return self._request(f"/view?{urlencode(names)}")

    def next_event(self, prompt_id: str, seconds: float) -> Step | None:
        """Wait up to `seconds` for news of a prompt by the websocket; None: there is none, or no websocket."""
        socket = self._connected()
        if socket is None:
            time.sleep(seconds)
            return None
        try:
            message = socket.recv(timeout=seconds)
        except TimeoutError:
            return None
        except Exception:  # noqa: BLE001 - the library has many; what was missed is asked for by HTTP
            self.disconnect()
            return None
        return _event(message, prompt_id)

    def disconnect(self) -> None:
        """Close the websocket; the next wait opens it again."""
        with suppress(Exception):
            self._connection.close()
        self._socket = None

    def _connected(self) -> Any:
        if self._socket is None and time.monotonic() >= self._connect_at:
            self._connect_at = time.monotonic() + CONNECT_AGAIN_SECONDS
            with suppress(Exception):  # without websockets, or where it fails, news is asked for by HTTP alone
                from websockets.sync.client import connect

                address = f"ws{self.url.removeprefix('http')}/ws?clientId={self.client_id}"
                opened = connect(address, open_timeout=ANSWER_SECONDS, close_timeout=1, max_size=MAX_BYTES, proxy=None)
                self._socket = self._connection.enter_context(opened)
        return self._socket

    def _request(self, path: str, body: bytes | None = None) -> bytes:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        request = urllib.request.Request(self.url + path, body, headers)
        try:
            with self._open(request, timeout=ANSWER_SECONDS) as answer:
                data: bytes = answer.read(MAX_BYTES + 1)
        except urllib.error.HTTPError as error:
            if error.code in GATEWAY_ERRORS:
                raise ServerUnreachableError(f"{self.url} does not answer (HTTP {error.code})") from error
            raise ServerRefusedError(f"{self.url}: {_told(error)}") from error
        except (OSError, HTTPException) as error:
            raise ServerUnreachableError(f"{self.url} does not answer ({error})") from error
        if len(data) > MAX_BYTES:
            raise ServerRefusedError(f"{self.url}{path}: the answer is larger than {MAX_BYTES >> 20} MB")
        return data

    def _json(self, data: bytes) -> Any:
        try:
            return json.loads(data or b"null")
        except (ValueError, RecursionError):
            raise ServerRefusedError(f"{self.url} answers with something else than JSON: is it ComfyUI?") from None


def _event(message: str | bytes, prompt_id: str) -> Step | None:
    if isinstance(message, bytes):
        return None
    try:
        event = json.loads(message)
        name, data = event["type"], event["data"]
    except (ValueError, KeyError, TypeError):
        return None
    if not isinstance(data, dict) or data.get("prompt_id") != prompt_id:
        return None
    if name == "progress":
        return Step(int(data.get("value", 0)), int(data.get("max", 0)))
    return Step(ended=True) if name in ENDINGS else None


def _told(error: urllib.error.HTTPError) -> str:
    """Return a server's own words for an error."""
    try:
        body = json.loads(error.read(MAX_BYTES))
    except (ValueError, OSError, RecursionError):
        return f"HTTP {error.code}"
    if not isinstance(body, dict):
        return f"HTTP {error.code}"
    if found := _node_errors(body.get("node_errors") or {}):
        return found
    said = body.get("error")
    return str(said.get("message", said) if isinstance(said, dict) else said or f"HTTP {error.code}")


def _node_errors(nodes: Any) -> str:
    found = [
        f"{node.get('class_type', '')}: {error.get('message', '')} {error.get('details', '')}".strip()
        for node in (nodes.values() if isinstance(nodes, dict) else ())
        for error in node.get("errors", ())
    ]
    return "; ".join(found)
