"""What goes over the wire to a ComfyUI server: one prompt at a time, ended when it is late, to no other address."""

from __future__ import annotations

from io import BytesIO

import pytest
from PIL import Image

from intelligence import InvalidInputError
from intelligence.generation.execution.comfyui_client import ComfyUIClient, ServerRefusedError
from intelligence.generation.execution.comfyui_executor import ComfyUIExecutor
from intelligence.generation.execution.job_records import Limits, Outcome
from intelligence.generation.execution.job_run import JobRun
from intelligence.generation.execution.local_executor import JobTimeoutError

from ..hub_server import Answer, json_answer, serving
from .jobs import fit, job
from .stub_server import StubServer, stub_server

JOBS = [job(number) for number in range(5)]


def png() -> bytes:
    file = BytesIO()
    Image.effect_noise((64, 64), 50).save(file, format="PNG")
    return file.getvalue()


def made(server: StubServer, count: int, **limits: float) -> list[Outcome]:
    with JobRun(ComfyUIExecutor([server.url]), fit, Limits(**limits)) as run:  # type: ignore[arg-type]
        run.submit(JOBS[:count])
        return list(run.results())


def test_server_is_sent_a_job_at_a_time() -> None:
    with stub_server(JOBS, [png()]) as server:
        assert [outcome.error for outcome in made(server, 5)] == [None] * 5
    assert server.longest_queue == 1
    assert len({body["prompt_id"] for body in server.sent}) == len(server.sent) == 5


def test_late_job_is_ended_on_the_server() -> None:
    with stub_server(JOBS, hangs=True) as server:
        (outcome,) = made(server, 1, errors=1, timeout=0.1)
    assert isinstance(outcome.error, JobTimeoutError)
    assert server.queue == []
    assert server.count("/interrupt") == 1
    assert server.count("/ws") == 1  # a server without a websocket is not asked for it at each look


def test_damaged_file_is_saved_again() -> None:
    whole = png()
    with stub_server(JOBS, [whole[:-40], whole]) as server:
        (outcome,) = made(server, 1)
    assert outcome.produced is not None
    assert outcome.produced.files == (whole,)
    assert outcome.attempts == 2
    first, second = (body["prompt"]["9"]["inputs"]["filename_prefix"] for body in server.sent)
    assert first != second


@pytest.mark.parametrize(
    "servers", ["http://127.0.0.1:8188", ["file:///etc"], ["http://me:secret@host"], ["host:8188"]]
)
def test_other_addresses_are_refused(servers: str | list[str]) -> None:
    with pytest.raises(InvalidInputError, match="must look like http://"):
        ComfyUIExecutor(servers)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirect_is_refused(status: int) -> None:
    with serving() as other, serving() as server:
        other.says("/queue", json_answer({"queue_running": [], "queue_pending": []}))
        server.says("/queue", Answer(status, headers={"Location": f"{other.url}/queue"}))
        client = ComfyUIClient(server.url, "one")
        for ask in (lambda: client.is_queued("a"), lambda: client.end("a")):
            with pytest.raises(ServerRefusedError, match=f"HTTP {status}"):
                ask()
    assert other.requests == []
