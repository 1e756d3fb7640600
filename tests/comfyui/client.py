"""A client of ComfyUI's HTTP and websocket API, for tests: it tells which nodes ran and which came from the cache."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import aiohttp

Prompt = dict[str, dict[str, Any]]
PREVIEWS, TEXT = (1, 4), 3
"""First four bytes of the websocket's binary messages: preview pictures without and with metadata, progress texts."""

LIBRARY = "/intelligent_generation/library"
"""Route of the library's status."""

ENDINGS = ("execution_success", "execution_error", "execution_interrupted")

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""The server is on this machine: never through a proxy."""


class Refused(Exception):
    """The server answered with an HTTP error."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"HTTP {status}: {body}")
        self.status = status
        self.body = body

    def details(self, node_id: str | None = None) -> str:
        """The texts of the validation errors, of one node or of all."""
        nodes = self.body["node_errors"]
        chosen = [nodes[node_id]] if node_id else nodes.values()
        return "\n".join(f"{error['message']}: {error['details']}" for node in chosen for error in node["errors"])


@dataclass(frozen=True)
class Run:
    """Record of one queued prompt."""

    prompt_id: str
    history: dict[str, Any]
    executed: tuple[str, ...]
    """Ids of the nodes that ran, in order. A node with list inputs is named once."""
    previews: int
    """Number of preview pictures sent while it ran."""
    progress: tuple[dict[str, Any], ...]
    """The `progress` events: node, value, max."""
    texts: tuple[tuple[int, str], ...] = ()
    """Texts sent to the nodes while it ran, each with the number of `progress` events before it."""
    node_errors: dict[str, Any] = field(default_factory=dict)
    """Validation errors of outputs that were dropped, while others ran."""

    @property
    def status(self) -> str:
        """`success` or `error`."""
        return self.history["status"]["status_str"]

    @property
    def cached(self) -> set[str]:
        """Ids of the nodes whose outputs came from the cache."""
        return set(self.message("execution_cached").get("nodes", ()))

    @property
    def error(self) -> str:
        """The exception's text, or empty."""
        return self.message("execution_error").get("exception_message", "").strip()

    @property
    def outputs(self) -> dict[str, dict[str, list[Any]]]:
        """`ui` outputs by node id."""
        return self.history["outputs"]

    def message(self, name: str) -> dict[str, Any]:
        """The status message of this name in the history, or an empty one."""
        return next((data for event, data in self.history["status"]["messages"] if event == name), {})


class Client:
    """Talks to one server. Calls block; each may be made from any thread."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def get(self, path: str, **query: str) -> Any:
        """GET, parsed as JSON."""
        return json.loads(self._bytes(path + ("?" + urllib.parse.urlencode(query) if query else "")) or "null")

    def post(self, path: str, body: Any = None) -> Any:
        """POST a JSON body; the answer parsed as JSON, None when empty. Raises Refused."""
        return json.loads(self._bytes(path, json.dumps(body or {}).encode()) or "null")

    def object_info(self) -> dict[str, Any]:
        """Every node's inputs and outputs, by node id."""
        return self.get("/object_info")

    def view(self, image: dict[str, str]) -> bytes:
        """The file of one entry under `ui.images`."""
        return self._bytes("/view?" + urllib.parse.urlencode(image))

    def interrupt(self) -> None:
        """Stop the prompt that is running."""
        self.post("/interrupt")

    def wait_until_running(self, timeout: float = 60) -> None:
        """Wait until a queued prompt runs."""
        end = time.monotonic() + timeout
        while not self.get("/queue")["queue_running"]:
            if time.monotonic() > end:
                raise TimeoutError(f"no prompt ran after {timeout} s")
            time.sleep(0.02)

    def library_after_scan(self, timeout: float = 60) -> dict[str, Any]:
        """The library's status once no scan runs."""
        end = time.monotonic() + timeout
        while (status := self.get(LIBRARY))["scanning"]:
            if time.monotonic() > end:
                raise TimeoutError(f"the library was not read after {timeout} s")
            time.sleep(0.05)
        return status

    def forget_learned(self) -> None:
        """Take back what the pictures, ratings and edits made so far would change in the next choice."""
        self.post("/intelligent_generation/learned/reset", {"all": True})

    def free(self) -> None:
        """Unload the models and empty the cache of outputs."""
        self.post("/free", {"unload_models": True, "free_memory": True})

    def queue(
        self,
        prompt: Prompt,
        extra_data: dict[str, Any] | None = None,
        targets: list[str] | None = None,
        client_id: str | None = None,
    ) -> dict[str, Any]:
        """Queue a prompt in API format: `{prompt_id, number, node_errors}`. Raises Refused when nothing validates."""
        body: dict[str, Any] = {"prompt": prompt, "extra_data": extra_data or {}}
        if client_id:
            body["client_id"] = client_id
        if targets is not None:
            body["partial_execution_targets"] = targets
        return self.post("/prompt", body)

    def wait(self, prompt_id: str, timeout: float = 600) -> dict[str, Any]:
        """The history entry of a prompt, once it is done."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if entry := self.get(f"/history/{prompt_id}").get(prompt_id):
                return entry
            time.sleep(0.05)
        raise TimeoutError(f"prompt {prompt_id} was not done after {timeout} s")

    def run(
        self,
        prompt: Prompt,
        extra_data: dict[str, Any] | None = None,
        targets: list[str] | None = None,
        timeout: float = 600,
    ) -> Run:
        """Queue a prompt and follow it to its end. Raises Refused when nothing validates."""
        with ThreadPoolExecutor(1) as thread:  # the calling thread may have an event loop already
            return thread.submit(asyncio.run, self._follow(prompt, extra_data, targets, timeout)).result()

    def complete(
        self,
        prompt: Prompt,
        extra_data: dict[str, Any] | None = None,
        targets: list[str] | None = None,
        timeout: float = 600,
    ) -> Run:
        """`run` a prompt that must succeed. Raises RuntimeError with its error where it does not."""
        found = self.run(prompt, extra_data, targets, timeout)
        if found.status != "success":
            raise RuntimeError(found.error or str(found.history["status"]))
        return found

    async def _follow(
        self, prompt: Prompt, extra_data: dict[str, Any] | None, targets: list[str] | None, timeout: float
    ) -> Run:
        client_id = uuid.uuid4().hex
        executed: dict[str, None] = {}
        progress: list[dict[str, Any]] = []
        texts: list[tuple[int, str]] = []
        previews = 0
        async with (
            asyncio.timeout(timeout),
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{self.url}/ws?clientId={client_id}", max_msg_size=0) as socket,
        ):
            queued = await asyncio.to_thread(self.queue, prompt, extra_data, targets, client_id)
            prompt_id = queued["prompt_id"]
            async for message in socket:
                if message.type is aiohttp.WSMsgType.BINARY:
                    kind = int.from_bytes(message.data[:4], "big")
                    previews += kind in PREVIEWS
                    if kind == TEXT:
                        texts.append((len(progress), _text(message.data[4:])))
                    continue
                event = json.loads(message.data)
                data = event["data"]
                if data.get("prompt_id") != prompt_id:
                    continue
                if event["type"] == "executing" and data["node"]:
                    executed[data["node"]] = None
                elif event["type"] == "progress":
                    progress.append(data)
                elif event["type"] in ENDINGS:
                    break
        history = await asyncio.to_thread(self.wait, prompt_id)  # written shortly after the last event
        return Run(prompt_id, history, tuple(executed), previews, tuple(progress), tuple(texts), queued["node_errors"])

    def _bytes(self, path: str, data: bytes | None = None) -> bytes:
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"} if data else {})
        try:
            with _direct.open(request, timeout=60) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            text = error.read()
            try:
                body = json.loads(text)
            except ValueError:
                body = text.decode(errors="replace")
            raise Refused(error.code, body) from error


def _text(message: bytes) -> str:
    """The text of a progress text, which follows the length and name of its node."""
    length = int.from_bytes(message[:4], "big")
    return message[4 + length :].decode()
