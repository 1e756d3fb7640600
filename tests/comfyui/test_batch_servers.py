"""A job list on a real server: interrupted and gone on with, every picture made once there and here."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from intelligence import BatchConfig, IntelligentGenerationPipeline, InvalidInputError, PipelineConfig
from intelligence.generation.execution.batch_run import BatchRun
from intelligence.generation.execution.comfyui_client import ServerUnreachableError
from intelligence.generation.execution.comfyui_executor import FOLDER, ComfyUIExecutor, prompt_id_of
from intelligence.generation.execution.job_list import JobLine, read_job_list
from intelligence.generation.execution.job_records import Limits, RunProgress
from intelligence.generation.execution.job_run import JobRun
from intelligence.generation.execution.planned_run import PlannedRun
from intelligence.generation.picture_history import picture_record
from intelligence.generation.stages import GenerationPlan

from .server import Server

pytestmark = pytest.mark.usefixtures("embedded_home")


def lines(prompt: str, count: int, steps: int = 2, **further: int) -> list[JobLine]:
    settings = {"num_steps": steps, "width": 64, "height": 64, **further}
    run = {"base_model": "embedded", "run": {"prompt": prompt, "settings": settings}}
    return read_job_list([json.dumps({**run, "sweep": {"seed": f"0..{count - 1}"}})])


def test_interrupted_batch_goes_on(server: Server, tmp_path: Path) -> None:
    listed = lines("anime girl with magical powers, on servers", 6, clip_skip=-1)

    def interrupt(state: RunProgress) -> None:
        if state.done == 2:
            raise KeyboardInterrupt

    with BatchRun(tmp_path) as batch, pytest.raises(KeyboardInterrupt):
        batch.run(batch.plan(listed), ComfyUIExecutor([server.url]), on_progress=interrupt)
    with BatchRun(tmp_path) as batch:
        jobs = batch.plan(listed)
        (worker,) = ComfyUIExecutor([server.url]).start()
        plan = PlannedRun(batch.planner.knowledge).fit(jobs[0], worker)
        worker._send(prompt_id_of(jobs[0]), plan, jobs[0])  # type: ignore[attr-defined]  # as a coordinator that died then
        summary = batch.run(jobs, ComfyUIExecutor([server.url]))
        rows = batch.store.pictures()
    assert (summary.total, summary.done, summary.failed, len(rows)) == (6, 6, 0, 6)
    made = {path.name for path in (server.base / "output" / FOLDER).glob("*.png")}
    assert len([name for name in made if name.startswith(tuple(row.key[:16] for row in rows))]) == 6
    records = [picture_record(tmp_path / row.file) for row in rows]
    assert [record["seed"] for record in records if record] == list(range(6))
    chosen = jobs[0].recommendations
    for record in filter(None, records):
        asked = record["plan"]["recommendations"]
        assert asked["prompt"] == chosen.prompt
        assert (asked["suggested_params"]["num_steps"], asked["suggested_params"]["clip_skip"]) == (2, -1)
        loras = {lora["lora_name"]: lora["suggested_alpha"] for lora in asked["suggested_loras"]}
        assert loras == {lora.lora_name: lora.suggested_alpha for lora in chosen.suggested_loras}
        assert record["device"]


class Negative:
    name = "negative"

    def process(self, image: Image.Image, plan: GenerationPlan) -> Image.Image:
        return ImageOps.invert(image)


def test_generate_batch_returns_what_a_server_made(server: Server, tmp_path: Path) -> None:
    pipeline, batch = IntelligentGenerationPipeline(PipelineConfig(base_model="embedded")), BatchConfig(2, base_seed=70)
    prompt, settings = "anime girl with magical powers, made on a server", {"num_steps": 2, "width": 64, "height": 64}
    made = pipeline.generate_batch(prompt, batch, executor=ComfyUIExecutor([server.url]), **settings)
    assert [(result.metadata.seed, result.metadata.steps, result.image.size) for result in made] == [
        (seed, 2, (64, 64)) for seed in (70, 71)
    ]
    first, second = made
    assert first.metadata.prompt == prompt
    chosen = pipeline.analyze_and_recommend(prompt).suggested_loras
    assert [used.name for used in first.metadata.loras_used] == [lora.lora_name for lora in chosen] != []
    assert first.explanation.lora_reasoning and first.metadata.generation_time_seconds > 0
    assert first.generation.device and first.generation.host == "comfyui"
    path = first.save(tmp_path / "one.png")
    record = picture_record(path) or {}
    assert (record["image_id"], record["plan"]["recommendations"]["prompt_analysis"]["prompt"]) == (first.id, prompt)
    assert np.array_equal(np.asarray(Image.open(path)), np.asarray(first.image))
    feedback = "/intelligent_generation/feedback"
    assert server.client.post(feedback, {"generation_id": first.id, "rating": 4})["rating"] == 4
    server.client.post(f"{feedback}/remove", {"generation_id": first.id})
    assert pipeline.provide_feedback(first.id, 5).rating == 5
    assert pipeline.pick(second.id)
    pipeline.own_steps = (Negative(),)
    (stepped,) = pipeline.generate_batch(
        prompt, BatchConfig(1, base_seed=70), executor=ComfyUIExecutor([server.url]), **settings
    )
    assert ImageOps.invert(first.image).tobytes() == stepped.image.tobytes()
    assert [step.name for step in stepped.generation.plan.postprocess if step.name] == ["negative"]


def test_second_pass_and_switches_are_those_of_the_plan(server: Server, tmp_path: Path) -> None:
    settings = {"num_steps": 4, "width": 64, "height": 64, "second_pass": "on", "upscaler": "latent"}
    line = {"base_model": "embedded", "repair": False, "seam_check": False}
    run = {"prompt": "a lake that is painted twice", "seed": 3, "settings": settings}
    with BatchRun(tmp_path) as batch:
        (job,) = batch.plan(read_job_list([json.dumps({**line, "run": run})]))
        batch.run([job], ComfyUIExecutor([server.url]))
        (row,) = batch.store.pictures()
    made = (picture_record(tmp_path / row.file) or {})["plan"]
    asked, ran = job.recommendations.suggested_params, made["recommendations"]["suggested_params"]
    assert (ran["width"], ran["height"]) == (asked.width, asked.height) == (96, 96)
    assert asked.second_pass is not None
    names = ("width", "height", "steps", "denoise", "upscaler")
    assert [ran["second_pass"][name] for name in names] == [getattr(asked.second_pass, name) for name in names]
    assert made["switched_off"] == ["repair", "seam_check"]


def test_cancel_leaves_nothing_running(server: Server, tmp_path: Path) -> None:
    with BatchRun(tmp_path) as batch:
        jobs, plan = batch.plan(lines("a lake that is never finished", 2, 200)), PlannedRun(batch.planner.knowledge)
        with JobRun(ComfyUIExecutor([server.url]), plan.fit) as run:
            begun = threading.Event()
            run._on_progress = lambda state: begun.set() if state.workers[0].step[0] else None
            threading.Thread(target=lambda: begun.wait(120) and run.cancel()).start()
            run.submit(jobs)
            assert list(run.results()) == []
        queue = server.client.get("/queue")
    assert queue["queue_running"] == queue["queue_pending"] == []


def test_refused_job_is_set_aside(server: Server, tmp_path: Path) -> None:
    with BatchRun(tmp_path) as batch:
        (job,) = batch.plan(lines("a checkpoint that is not there", 1))
        plan = PlannedRun(batch.planner.knowledge)
        other = replace(job, config=replace(job.config, base_model="not-there.safetensors"))
        with JobRun(ComfyUIExecutor([server.url]), lambda _, worker: plan.fit(job, worker), Limits(errors=1)) as run:
            run.submit([other])
            (outcome,) = run.results()
    assert "not-there.safetensors" in str(outcome.error)


def test_executor_needs_a_server_that_answers() -> None:
    with pytest.raises(InvalidInputError, match="comfyui_servers"):
        ComfyUIExecutor([])
    with pytest.raises(ServerUnreachableError, match="no server answers"):
        ComfyUIExecutor(["http://127.0.0.1:9"]).start()
