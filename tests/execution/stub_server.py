"""A ComfyUI server as far as the wire goes, for what a real one does not do at will: hang, damage files, count."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from intelligence.generation.execution.comfyui_executor import prompt_id_of
from intelligence.generation.execution.job_records import Job
from intelligence.generation.execution.plan_graph import SAVER

from ..hub_server import Answer, Hub, Request, json_answer, serving


@dataclass
class StubServer:
    """Ends a prompt as soon as it is queued, unless `hangs`."""

    hub: Hub
    pictures: list[bytes]
    """Files that it gives, the last one again and again."""
    hangs: bool = False
    queue: list[str] = field(default_factory=list)
    done: dict[str, Any] = field(default_factory=dict)
    sent: list[dict[str, Any]] = field(default_factory=list)
    """Bodies of `POST /prompt`."""
    longest_queue: int = 0

    @property
    def url(self) -> str:
        return self.hub.url

    def count(self, path: str) -> int:
        """Return how often a path was asked."""
        return sum(asked == path for asked, _ in self.hub.asked)

    def _prompt(self, request: Request) -> Answer:
        body = json.loads(request.body)
        self.sent.append(body)
        self.queue.append(body["prompt_id"])
        self.longest_queue = max(self.longest_queue, len(self.queue))
        if not self.hangs:
            image = {"filename": "a.png", "subfolder": "", "type": "output"}
            outputs = {SAVER: {"images": [image]}}
            self.done[self.queue.pop()] = {"status": {"status_str": "success"}, "outputs": outputs}
        return json_answer({})

    def _queue(self, request: Request) -> Answer:
        for prompt_id in json.loads(request.body)["delete"] if request.method == "POST" else ():
            self.queue.remove(prompt_id)
        return json_answer({"queue_running": [[0, prompt_id] for prompt_id in self.queue], "queue_pending": []})

    def _history(self, request: Request) -> Answer:
        prompt_id = request.path.rpartition("/")[2]
        return json_answer({prompt_id: self.done[prompt_id]} if prompt_id in self.done else {})

    def _forget(self, request: Request) -> Answer:
        for prompt_id in json.loads(request.body)["delete"]:
            del self.done[prompt_id]
        return json_answer({})

    def _view(self, _: Request) -> Answer:
        return Answer(body=self.pictures.pop(0) if len(self.pictures) > 1 else self.pictures[0])


@contextmanager
def stub_server(jobs: Sequence[Job], pictures: Sequence[bytes] = (b"",), hangs: bool = False) -> Iterator[StubServer]:
    """A server that knows the ids of these jobs' prompts."""
    with serving() as hub:
        stub = StubServer(hub, list(pictures), hangs)
        hub.says("/system_stats", json_answer({"system": {}, "devices": [{"name": "a card", "type": "cuda"}]}))
        hub.says("/object_info/SaveGeneration", json_answer({"SaveGeneration": {}}))
        hub.says("/prompt", stub._prompt)
        hub.says("/queue", stub._queue)
        hub.says("/interrupt", json_answer({}))
        hub.says("/history", stub._forget)
        hub.says("/view", stub._view)
        for job in jobs:
            hub.says(f"/history/{prompt_id_of(job)}", stub._history)
        yield stub
