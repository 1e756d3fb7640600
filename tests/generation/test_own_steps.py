"""Steps of the user's own: taken in order, told, and never the end of a picture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from PIL import Image, ImageOps

from intelligence.config import OffloadStrategy
from intelligence.generation.explanation import explain
from intelligence.generation.postprocess.own_steps import OwnStep, run_own_steps
from intelligence.generation.postprocess.steps import PostStep, StepKind, planned_steps
from intelligence.generation.stages import GenerationPlan, Recommendations
from intelligence.memory import MemoryPlan
from intelligence.models import Family
from intelligence.parameters import OptimizedParameters
from intelligence.parameters.second_pass import planned
from intelligence.prompt import PromptAnalysis

PARAMETERS = OptimizedParameters(20, 6.0, 2048, 2048, "euler", "normal", family=Family.SDXL)
MEMORY = MemoryPlan(OffloadStrategy.FULL_GPU, "cuda", tile_size=512, vae_dtype="float16", stages={"unet": 5.5})
PLAN = GenerationPlan(Recommendations(PromptAnalysis("a cat"), [], PARAMETERS), MEMORY)


@dataclass
class Step:
    name: str
    change: Any

    def process(self, image: Any, plan: GenerationPlan) -> Any:
        return self.change(image, plan)


def test_own_steps_are_taken_in_order_and_told() -> None:
    black = Image.new("RGB", (8, 8))
    invert = Step("invert", lambda image, plan: ImageOps.invert(image))
    grow = Step("grow", lambda image, plan: image.resize((plan.parameters.width // 64, 8)))
    assert isinstance(invert, OwnStep)
    (image,), steps, notes = run_own_steps([black], PLAN, (invert, grow))
    assert (image.size, image.getpixel((0, 0))) == ((32, 8), (255, 255, 255))
    assert [(step.kind, step.name) for step in steps] == [(StepKind.OWN, "invert"), (StepKind.OWN, "grow")]
    assert notes == ()
    assert PostStep.from_dict(steps[0].to_dict()) == steps[0]


def test_own_step_that_fails_leaves_the_picture() -> None:
    def fail(image: Any, plan: GenerationPlan) -> Any:
        raise ValueError("no face found")

    black = Image.new("RGB", (8, 8))
    images, steps, notes = run_own_steps([black], PLAN, (Step("faces", fail), Step("none", lambda *_: None)))
    assert images == [black]
    assert len(steps) == len(notes) == 2
    assert "no face found" in notes[0]


def test_planned_steps_tell_reason_time_and_memory() -> None:
    second = planned((1024, 1024), 20)
    settings = OptimizedParameters(**{**vars(PARAMETERS), "second_pass": second})
    steps = planned_steps(settings, MEMORY)
    assert [(step.kind, step.on) for step in steps] == [
        (StepKind.SECOND_PASS, True),
        (StepKind.REPAIR, True),
        (StepKind.SEAM_CHECK, True),
    ]
    assert steps[0].memory_gb == 5.5
    off, *_ = planned_steps(PARAMETERS, MEMORY)
    assert (off.kind, off.on) == (StepKind.SECOND_PASS, False)
    assert GenerationPlan.from_dict(GenerationPlan(PLAN.recommendations, MEMORY, steps).to_dict()).postprocess == steps


def test_explanation_tells_time_and_memory_of_both_steps() -> None:
    second = replace(planned((1024, 1024), 20, "4x-UltraSharp.pth"), estimated_seconds=30.0, enlarging_seconds=4.0)
    memory = replace(MEMORY, stages={"unet": 5.5, "upscale": 2.2})
    plan = GenerationPlan(PLAN.recommendations, memory).changed(second_pass=second).without(())
    notes = explain(plan).performance_notes
    (enlarging,) = [note for note in notes if "4x-UltraSharp.pth" in note and "2.2 GiB" in note]
    (second_pass,) = [note for note in notes if "1024x1024" in note and "5.5 GiB" in note]
    assert "4.0 s" in enlarging and "30 s" in second_pass
