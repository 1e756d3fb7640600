"""Plan, request and model → the run: seeds, size, switches, forward batches, scouting."""

from __future__ import annotations

from typing import Any

import pytest

from intelligence.config import MAX_SEED, OffloadStrategy
from intelligence.errors import InvalidInputError
from intelligence.generation.run_timer import planned_items
from intelligence.generation.sampling_request import (
    ModelFacts,
    SamplingRequest,
    SamplingRun,
    StartLatent,
    Switches,
    Task,
    sampling_run,
)
from intelligence.generation.stages import GenerationPlan, Recommendations
from intelligence.memory import MemoryPlan
from intelligence.parameters import Improvements, ModelGuidance, OptimizedParameters
from intelligence.prompt import PromptAnalysis

SIGMAS = (14.6, 6.0, 2.0, 0.5, 0.0)


def facts(sigmas: tuple[float, ...] = SIGMAS, **known: Any) -> ModelFacts:
    """A model on which every step has a prompt and, where it is guided, a negative prompt."""
    return ModelFacts(lambda parameters: (planned_items(parameters, sigmas),) * 2, **known)


FACTS = facts()


def plan(together: int = 1, **settings: Any) -> GenerationPlan:
    parameters = OptimizedParameters(
        **{
            "num_steps": 4,
            "guidance_scale": 6.0,
            "width": 128,
            "height": 192,
            "sampler_name": "euler",
            "scheduler": "karras",
        }
        | settings
    )
    memory = MemoryPlan(OffloadStrategy.FULL_GPU, "cpu", max_batch=together)
    return GenerationPlan(Recommendations(PromptAnalysis("a cat"), [], parameters), memory)


def run(request: SamplingRequest, facts: ModelFacts = FACTS, *, together: int = 1, **settings: Any) -> SamplingRun:
    return sampling_run(plan(together, **settings), request, facts)


@pytest.mark.parametrize(
    ("request_", "latent", "images", "seeds", "batch_seed"),
    [
        (SamplingRequest(0), None, 1, (0,), None),
        (SamplingRequest(7), None, 3, (7, 8, 9), None),
        (SamplingRequest(MAX_SEED), None, 2, (MAX_SEED, 0), None),
        (SamplingRequest(7, seeds_per_image=False), None, 3, (7, 7, 7), 7),
        (SamplingRequest(7), StartLatent(2, 128, 192), 3, (7, 7), 7),
        (SamplingRequest(0, seeds_per_image=False), None, 2, (0, 0), 0),
    ],
)
def test_sampling_run_seeds(
    request_: SamplingRequest,
    latent: StartLatent | None,
    images: int,
    seeds: tuple[int, ...],
    batch_seed: int | None,
) -> None:
    made = run(request_, facts(latent=latent), batch_size=images)
    assert (made.task, made.seeds, made.batch_seed) == (Task.SAMPLE, seeds, batch_seed)
    assert made.images == len(seeds)


@pytest.mark.parametrize(
    ("request_", "sampler", "max_batch"),
    [
        (SamplingRequest(0), "euler", 1),
        (SamplingRequest(0, one_pass=True), "euler", 3),
        (SamplingRequest(0, one_pass=True), "euler_ancestral", 1),
        (SamplingRequest(0, seeds_per_image=False), "euler_ancestral", 3),
    ],
)
@pytest.mark.parametrize("together", [1, 3])
def test_sampling_run_forward_batches(request_: SamplingRequest, sampler: str, max_batch: int, together: int) -> None:
    made = run(request_, together=together, batch_size=3, sampler_name=sampler)
    assert (made.max_batch, made.needs_fit) == (max_batch, together != max_batch)


def test_sampling_run_takes_the_latents_size() -> None:
    made = run(SamplingRequest(0), facts(latent=StartLatent(1, 64, 64)))
    assert (made.plan.parameters.width, made.plan.parameters.height, made.needs_fit) == (64, 64, True)
    same = run(SamplingRequest(0), facts(latent=StartLatent(1, 128, 192)))
    assert not same.needs_fit


CUTOFF = Improvements(cfg_cutoff_sigma=1.0)


@pytest.mark.parametrize(
    ("planned", "switches", "cached", "improvements", "rescale_cfg", "items"),
    [
        (Improvements(), Switches(), False, Improvements(), 0.5, 8),
        (CUTOFF, Switches(), False, CUTOFF, 0.5, 7),
        (CUTOFF, Switches(cfg_cutoff=0.0), False, Improvements(), 0.5, 8),
        (CUTOFF, Switches(cfg_start=6.0), False, Improvements(1.0, 6.0), 0.5, 6),
        (Improvements(1.0, 6.0), Switches(cfg_start=0.0), False, CUTOFF, 0.5, 7),
        (CUTOFF, Switches(rescale_cfg=0.0), False, CUTOFF, 0.0, 7),
        (CUTOFF, Switches(easycache=0.2), False, Improvements(easycache=0.2), 0.5, 8),
        (Improvements(easycache=0.2), Switches(easycache=0.0), False, Improvements(), 0.5, 8),
        (CUTOFF, Switches(), True, Improvements(), 0.5, 8),
        (CUTOFF, Switches(cfg_cutoff=3.0), True, Improvements(cfg_cutoff_sigma=3.0), 0.5, 6),
    ],
)
def test_sampling_run_switches(
    planned: Improvements,
    switches: Switches,
    cached: bool,
    improvements: Improvements,
    rescale_cfg: float,
    items: int,
) -> None:
    made = run(
        SamplingRequest(0, switches=switches),
        facts(has_easycache=cached),
        improvements=planned,
        rescale_cfg=0.5,
    )
    assert made.plan.parameters.improvements == improvements
    assert made.plan.parameters.rescale_cfg == rescale_cfg
    assert made.plan.parameters.forward_items == items


def test_sampling_run_counts_items_of_the_true_schedule() -> None:
    made = run(SamplingRequest(0), facts(SIGMAS[2:]), batch_size=2)
    assert made.plan.parameters.forward_items == 2 * 2 * 2
    assert run(SamplingRequest(0), facts(())).plan.parameters.forward_items == 0


def test_sampling_run_tells_a_span_of_items() -> None:
    made = run(SamplingRequest(0), ModelFacts(lambda parameters: (18, 240)), batch_size=2)
    parameters = made.plan.parameters
    assert (parameters.forward_items, parameters.forward_items_interval) == (131, (36, 480))


@pytest.mark.parametrize(
    ("guidance", "switches", "improvements", "rescale_cfg", "notes"),
    [
        (ModelGuidance(own_function=True, changes_guidance=True), Switches(), Improvements(), 0.0, 2),
        (ModelGuidance(own_function=True, changes_guidance=True), Switches(rescale_cfg=0.7), Improvements(), 0.0, 2),
        (ModelGuidance(needs_negative=True), Switches(), Improvements(), 0.5, 1),
        (ModelGuidance(changes_guidance=True), Switches(cfg_cutoff=2.0), Improvements(2.0), 0.5, 1),
        (ModelGuidance(most_extra=1), Switches(), CUTOFF, 0.5, 0),
    ],
)
def test_guidance_on_the_model_is_kept_and_told(
    guidance: ModelGuidance, switches: Switches, improvements: Improvements, rescale_cfg: float, notes: int
) -> None:
    made = run(SamplingRequest(0, switches=switches), facts(guidance=guidance), improvements=CUTOFF, rescale_cfg=0.5)
    assert made.plan.parameters.improvements == improvements
    assert made.plan.parameters.rescale_cfg == rescale_cfg
    assert len(made.notes) == notes


@pytest.mark.parametrize("seeds_per_image", [True, False])
@pytest.mark.parametrize("latent", [None, StartLatent(1, 128, 192)])
def test_sampling_run_scouts_and_resumes_seeds_of_their_own(seeds_per_image: bool, latent: StartLatent | None) -> None:
    known = facts(latent=latent)
    looked = run(SamplingRequest(40, seeds_per_image, scout=3), known, batch_size=2)
    assert (looked.task, looked.seeds, looked.images, looked.batch_seed) == (Task.SCOUT, (40, 41, 42), 1, None)
    picked = run(SamplingRequest(40, seeds_per_image, scout=3, pick=2), known, batch_size=2)
    assert (picked.task, picked.seeds, picked.batch_seed) == (Task.RESUME, (41,), None)
    assert picked.plan == looked.plan
    assert looked.plan.parameters.forward_items == 8


@pytest.mark.parametrize(
    ("request_", "facts", "settings"),
    [
        (SamplingRequest(0, scout=2), facts(latent=StartLatent(2, 128, 192)), {}),
        (SamplingRequest(0, best_of=2), facts(latent=StartLatent(2, 128, 192)), {}),
        (SamplingRequest(0, best_of=2), facts(has_easycache=True), {}),
        (SamplingRequest(0, scout=2), facts(has_easycache=True), {}),
        (SamplingRequest(0, scout=2), FACTS, {"improvements": Improvements(easycache=0.2)}),
        (SamplingRequest(0, scout=2, switches=Switches(easycache=0.2)), FACTS, {}),
    ],
)
def test_sampling_run_refuses_what_cannot_be_scouted(
    request_: SamplingRequest, facts: ModelFacts, settings: dict[str, Any]
) -> None:
    with pytest.raises(InvalidInputError, match="scouted"):
        run(request_, facts, **settings)


@pytest.mark.parametrize(
    "values",
    [
        {"scout": 2, "pick": 3},
        {"scout": -1},
        {"scout": 65},
        {"best_of": -1},
        {"best_of": 65},
        {"scout": 2, "best_of": 2},
        {"seed": -1},
        {"pick": 1},
    ],
)
def test_sampling_request_refuses_values_out_of_bounds(values: dict[str, int]) -> None:
    with pytest.raises(InvalidInputError):
        SamplingRequest(**{"seed": 0, **values})


@pytest.mark.parametrize(
    ("one_pass", "sampler", "images", "noted"),
    [
        (True, "euler_ancestral", 3, True),
        (True, "euler_ancestral", 1, False),
        (True, "euler", 3, False),
        (False, "euler_ancestral", 3, False),
    ],
)
def test_sampling_run_notes_where_images_cannot_share_a_pass(
    one_pass: bool, sampler: str, images: int, noted: bool
) -> None:
    made = run(SamplingRequest(0, one_pass=one_pass), sampler_name=sampler, batch_size=images)
    assert any("one by one" in note for note in made.notes) is noted
