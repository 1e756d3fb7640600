"""Pictures that a server finished become results of this machine, and its times are learned apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from intelligence.generation.execution.batch_run import BatchRun
from intelligence.generation.execution.job_records import Job, Outcome, Produced
from intelligence.generation.execution.planned_run import PlannedRun, card_key
from intelligence.generation.execution.server_pictures import is_whole
from intelligence.generation.image_file import Metadata, save_picture
from intelligence.generation.picture_history import picture_record
from intelligence.generation.planner import Planner
from intelligence.generation.run import Execution, record_run
from intelligence.generation.stages import Generation, GenerationPlan
from intelligence.learning import LearningEngine, Timing
from intelligence.memory import MemoryRequest, Resources, detect_resources, weight_bytes
from intelligence.registry import ModelRegistry

from .jobs import fit, job
from .test_job_run import Machine, Machines

CARD = Resources("cuda", "a card", 24, 20, 32, 16)
KEY = "cpu:sdxl:4.8"
LOOKS = Image.effect_noise((64, 64), 50).convert("RGB")


@pytest.fixture
def planner(tmp_path: Path) -> Planner:
    return Planner(ModelRegistry(tmp_path / "registry.db"), LearningEngine(tmp_path / "learning.db"))


def worker() -> Machine:
    machine = Machine("server", True)
    machine.resources = CARD
    return machine


def asked() -> Job:
    """A job of a prompt that was woven into another text for the server."""
    one = job(3, ["anime"])
    chosen = one.recommendations
    settings = replace(chosen.suggested_params, timing_key=KEY)
    return replace(one, recommendations=replace(chosen, prompt="a fox, anime style", suggested_params=settings))


def server_file(folder: Path, one: Job, keep: Metadata = Metadata.INSIDE) -> tuple[bytes, Generation]:
    """A file as a server writes it, whose own analysis knows the woven prompt alone."""
    plan, text = fit(one, worker()), one.recommendations.prompt
    there = replace(plan.recommendations, prompt_analysis=replace(plan.recommendations.prompt_analysis, prompt=text))
    execution = Execution([LOOKS], 4.0, forward_items=8, device="its card", notes=("noted there",))
    learning = LearningEngine(folder / "server.db")
    made = record_run(execution, "comfyui", replace(plan, recommendations=there), one.seeds, learning, run_id="its own")
    save_picture(folder / "there.png", LOOKS, made, keep=keep)
    return (folder / "there.png").read_bytes(), made


def outcome(one: Job, content: bytes, plan: GenerationPlan) -> Outcome:
    return Outcome(one, plan, Produced(files=(content,)), None, "server", CARD.name, False, 5.0)


def planned(planner: Planner, one: Job) -> tuple[PlannedRun, GenerationPlan]:
    run = PlannedRun(lambda _: (planner, MemoryRequest(images=1)))
    return run, run.fit(one, worker())


def test_results_tell_run_of_server_and_choice_of_here(planner: Planner, tmp_path: Path) -> None:
    one = asked()
    content, there = server_file(tmp_path, one)
    run, plan = planned(planner, one)
    (result,) = run.results(outcome(one, content, plan), "this run")
    assert result.id == there.image_ids[0]
    assert (result.metadata.prompt, result.metadata.final_prompt) == ("a fox", "a fox, anime style")
    assert (result.metadata.seed, result.metadata.generation_time_seconds) == (3, 4.0)
    assert (result.generation.device, result.generation.notes) == ("its card", ("noted there",))
    assert result.image.tobytes() == LOOKS.tobytes()
    stored = planner.learning.get_generation(there.id)
    assert stored.run_id == "this run"
    assert Generation.from_dict(stored.data) == result.generation


def test_results_are_recorded_here_where_files_tell_nothing(planner: Planner, tmp_path: Path) -> None:
    one = asked()
    run, plan = planned(planner, one)
    bare, _ = server_file(tmp_path, one, Metadata.NONE)
    of_another_seed, there = server_file(tmp_path, replace(one, seeds=(4,)))
    for content in (bare, of_another_seed):
        (result,) = run.results(outcome(one, content, plan), "this run")
        assert (result.metadata.seed, result.metadata.generation_time_seconds) == (3, 5.0)
        assert (result.generation.host, result.generation.device) == ("comfyui", CARD.name)
        assert result.id not in there.image_ids
        assert planner.learning.get_generation(result.generation.id).run_id == "this run"


def test_factor_is_learned_of_each_card(planner: Planner, tmp_path: Path) -> None:
    one = asked()
    run, plan = planned(planner, one)
    machine = worker()
    assert run.factor(one, machine) is None
    here = Timing(64, 64, 1, 8, 4, 1.0, 8.0)
    for _ in range(8):
        planner.learning.record_timing(KEY, here)
        content, _ = server_file(tmp_path, one)
        run.results(outcome(one, content, plan), "this run")
    assert len(planner.learning.timings(KEY)) == 8
    there = planner.learning.timings(card_key(CARD.name, CARD.device, KEY))
    assert {(timing.items, timing.item_seconds, timing.seconds) for timing in there} == {(8, 0.5, 4.0)}
    factor = run.factor(one, machine)
    assert factor == pytest.approx(0.5, abs=0.1)
    machine.resources = replace(CARD, name="another card")
    assert run.factor(one, machine) is None


def test_fit_counts_weights_as_the_worker_loads_them(planner: Planner) -> None:
    one, machine = asked(), worker()
    here = weight_bytes(detect_resources().device)
    weights = {"text": 0.4, "unet": 1.3, "vae": 0.1}  # GiB for each byte of a weight
    request = MemoryRequest(images=1, weights_gb={stage: here * size for stage, size in weights.items()})
    run = PlannedRun(lambda _: (planner, request))
    for device, width in (("cpu", 4), ("cuda", 2)):
        machine.resources = replace(CARD, device=device)
        there = MemoryRequest(images=1, weights_gb={stage: width * size for stage, size in weights.items()})
        expected = planner.plan(one.recommendations, there, machine.resources)
        assert run.fit(one, machine).memory.needed_gb == pytest.approx(expected.memory.needed_gb)


class Negative:
    name = "negative"

    def process(self, image: Image.Image, plan: GenerationPlan) -> Image.Image:
        return ImageOps.invert(image)


class Server(Machine):
    """Gives a file."""

    def __init__(self, content: bytes) -> None:
        super().__init__("server", True)
        self.content = content

    def run(self, *_: object) -> Produced:  # type: ignore[override]
        return Produced(files=(self.content,))


@pytest.mark.parametrize("steps", [(), (Negative(),)])
@pytest.mark.parametrize("keep", [Metadata.INSIDE, Metadata.NONE])
def test_batch_writes_servers_files(
    planner: Planner, tmp_path: Path, steps: tuple[Negative, ...], keep: Metadata
) -> None:
    one = asked()
    content, there = server_file(tmp_path, one, keep)
    with BatchRun(tmp_path / "out", lambda _: (planner, MemoryRequest(images=1)), steps) as batch:
        batch.run(batch.put("line", [one]), Machines(Server(content)))
        (row,) = batch.store.pictures()
        batch_id = batch.store.batch_id
    path = tmp_path / "out" / row.file
    record = picture_record(path) or {}
    assert record["image_id"] == row.image_id
    assert (row.image_id == there.image_ids[0]) is (keep is Metadata.INSIDE)
    assert planner.learning.get_generation(row.image_id).run_id == batch_id
    assert path.with_suffix(".json").is_file()
    if steps:
        assert Image.open(path).tobytes() == ImageOps.invert(LOOKS).tobytes()
        assert record["plan"]["postprocess"][-1]["name"] == "negative"
    else:
        assert path.read_bytes() == content


def test_is_whole(tmp_path: Path) -> None:
    content, _ = server_file(tmp_path, asked())
    assert is_whole(content)
    for damaged in (b"", content[:-20], content[:200], content[:900] + b"?" + content[901:], b"<html>sorry</html>"):
        assert not is_whole(damaged)
