"""The words that a user reads."""

from __future__ import annotations

from dataclasses import replace

import pytest

from intelligence.config import OffloadStrategy
from intelligence.generation.explanation import as_text, explain, plan_lines
from intelligence.generation.stages import Generation, GenerationPlan, PromptRecommendations
from intelligence.lora import LoRARecommendation, RejectedLoRA
from intelligence.memory import MemoryPlan
from intelligence.models import ModelMetadata
from intelligence.parameters import OptimizedParameters
from intelligence.prompt import PromptAnalysis, PromptAnalyzer
from intelligence.records import Reason


@pytest.mark.parametrize(
    ("prompt", "start"),
    [
        ("anime girl with magical powers", "Prompt: anime character, simple"),
        ("the mirkwood witch", "Prompt: character, simple"),
        ("test prompt", "Prompt: no particular subject, simple"),
    ],
)
def test_explain_omits_unspecified_intent(prompt: str, start: str) -> None:
    assert explain(PromptAnalyzer().analyze(prompt)).summary.startswith(start)


def test_explain_gives_reasons_of_analysis() -> None:
    reasons = explain(PromptAnalyzer().analyze("anime girl with magical powers")).parameter_reasoning
    assert reasons["style"] == "anime: the prompt says “anime”"
    assert {"content", "complexity"} <= set(reasons)


LORA = LoRARecommendation("magic", ModelMetadata("lora:magic", "magic"), 0.91, 0.6, reasoning="contains “magic”")
CHOSEN = PromptRecommendations(
    PromptAnalysis("magic"),
    [LORA],
    rejected=(RejectedLoRA("photo", Reason("photo", "another style")),),
    reasons=(Reason("prompt", "added its trigger words: magic"),),
)
PARAMETERS = OptimizedParameters(
    20, 7.0, 1024, 1024, "euler", "karras", reasons=(Reason("steps", "20", otherwise="30"), Reason("steps", "usual"))
)
CONFIGURED = CHOSEN.with_settings(PARAMETERS)
MEMORY = MemoryPlan(
    OffloadStrategy.FULL_GPU, "cuda", tile_size=512, fits=False, reasons=(Reason("budget", "8.0 GiB are free"),)
)
PLAN = GenerationPlan(CONFIGURED, MEMORY)
GENERATION = Generation("id", PLAN, ("id-0",), (7,), generation_time_seconds=130.0, notes=("a note",))


@pytest.mark.parametrize(
    ("stage", "added"),
    [
        (CHOSEN, "LoRAs: magic at 0.60"),
        (replace(CHOSEN, suggested_loras=[]), "LoRAs: none"),
        (CONFIGURED, "Settings: 20 steps, CFG 7, euler/karras, 1024×1024"),
        (PLAN, "Memory: FULL_GPU on cuda, VAE tiles of 512 px, may not fit"),
        (GENERATION, "Took 2 min 10 s"),
        (replace(GENERATION, seeds=(7, 8)), "Took 2 min 10 s"),
    ],
)
def test_explain_summary_ends_with_the_last_stage(stage: PromptRecommendations | GenerationPlan, added: str) -> None:
    assert explain(stage).summary.split(" | ")[-1] == added


def test_explain_summary_names_every_stage() -> None:
    titles = [part.partition(":")[0] for part in explain(GENERATION).summary.split(" | ")]
    assert titles == ["Prompt", "LoRAs", "Settings", "Memory", "Seed", "Took 2 min 10 s"]
    assert "Seeds: 7, 8" in explain(replace(GENERATION, seeds=(7, 8))).summary


def test_explain_gives_reasons_by_setting() -> None:
    explained = explain(CONFIGURED)
    assert explained.lora_reasoning == {
        "magic": "contains “magic” (confidence 0.91)",
        "photo": "not applied: another style",
    }
    assert explained.parameter_reasoning == {
        "prompt": "added its trigger words: magic",
        "steps": "20 (otherwise 30); usual",
    }


def test_explain_compares_predictions_with_the_run() -> None:
    known = PLAN.changed(estimated_time_seconds=4.25, forward_items=40)
    assert explain(PLAN).performance_notes == ["8.0 GiB are free", "Memory peak: predicted 0 MiB"]
    assert {"Time: predicted 4.2 s", f"{FORWARD}: predicted 40"} <= set(explain(known).performance_notes)
    ran = explain(replace(GENERATION, plan=known, forward_items=38)).performance_notes
    assert {"Time: predicted 4.2 s, took 2 min 10 s", f"{FORWARD}: predicted 40, computed 38", "a note"} <= set(ran)
    assert "Time: predicted unknown, took 2 min 10 s" in explain(GENERATION).performance_notes


FORWARD = "Forward items (one image once through the model)"


def test_as_text_has_a_line_for_each_decision() -> None:
    lines = as_text(explain(GENERATION)).splitlines()
    assert lines[0] == explain(GENERATION).summary
    titles = {"LoRAs", "Settings", "Performance and notes"}
    assert titles | {"  photo: not applied: another style", "  a note"} <= set(lines)


def test_plan_lines_end_with_the_reasons() -> None:
    assert plan_lines(MEMORY)[-1] == "budget: 8.0 GiB are free"
