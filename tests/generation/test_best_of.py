"""The best of several begun pictures: ranked by taste, finished to the last bit of a whole run, its cost told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from intelligence import (
    BatchConfig,
    IntelligentGenerationPipeline,
    InvalidInputError,
    PipelineConfig,
    VariationStrategy,
)
from intelligence.config import OffloadStrategy
from intelligence.generation import best_of
from intelligence.generation.best_of import Candidate, affordable, ranked
from intelligence.generation.explanation import explain
from intelligence.generation.stages import BEST_OF, BestOf, Generation, GenerationPlan, Recommendations
from intelligence.learning import value_model
from intelligence.learning.observations import LoRATraits, Observation, Picture
from intelligence.learning.preferences import traits_of
from intelligence.learning.value_model import ValueModel
from intelligence.lora import LoRARecommendation
from intelligence.memory import MemoryPlan
from intelligence.models import ModelMetadata
from intelligence.parameters import OptimizedParameters
from intelligence.pictures.look import Look
from intelligence.prompt import PromptAnalysis, PromptAnalyzer
from intelligence.records import Source

SMALL: dict[str, Any] = {"width": 64, "height": 64, "steps": 4}
PROMPT = "anime girl with magical powers"
USUAL = Look(110, 55, 45, 10, -3, 12, 0, 15)
ANALYZER = PromptAnalyzer()


def plan(*loras: str, **settings: Any) -> GenerationPlan:
    chosen = [LoRARecommendation(name, ModelMetadata(f"lora:{name}", name), 0.9, 0.8, relevance=0.9) for name in loras]
    usual = {"num_steps": 8, "guidance_scale": 6.0, "width": 64, "height": 64}
    parameters = OptimizedParameters(**{**usual, "sampler_name": "euler", "scheduler": "normal", **settings})
    recommendations = Recommendations(PromptAnalysis("a red cat"), chosen, parameters, prompt="a red cat")
    return GenerationPlan(recommendations, MemoryPlan(strategy=OffloadStrategy.FULL_GPU, device="cpu"))


def taste(*rated: tuple[float, Look | None]) -> ValueModel:
    """Return what is learned of (stars, look) of pictures of different prompts."""
    prompts = [traits_of(ANALYZER.analyze(f"a photo of {number} cats")) for number in range(len(rated))]
    seen = [
        Observation(stars, Picture(prompt, look=look)) for prompt, (stars, look) in zip(prompts, rated, strict=True)
    ]
    return ValueModel(seen, lambda _: LoRATraits())


def seeds(*brightness: int) -> list[Candidate]:
    return [Candidate(plan(), seed, USUAL._replace(brightness=value)) for seed, value in enumerate(brightness)]


BRIGHT_IS_LIKED = [(5 if value > 110 else 1, USUAL._replace(brightness=value)) for value in (30, 190, 60, 170, 40, 200)]


@pytest.mark.unit
@pytest.mark.parametrize(
    ("rated", "source", "order"),
    [
        ((), Source.DEFAULT, (0, 1, 2)),
        ([(5, None), (1, None)] * 3, Source.DEFAULT, (0, 1, 2)),
        ([(3, BRIGHT_IS_LIKED[0][1])], Source.DEFAULT, (0, 1, 2)),
        (BRIGHT_IS_LIKED, Source.LEARNED, (1, 0, 2)),
        ([(6 - stars, look) for stars, look in BRIGHT_IS_LIKED], Source.LEARNED, (2, 0, 1)),
    ],
    ids=["no ratings", "ratings without looks", "one rating", "bright is liked", "dark is liked"],
)
def test_ranked_by_looks(rated: Any, source: Source, order: tuple[int, ...]) -> None:
    found = ranked(seeds(100, 180, 40), taste(*rated))
    assert (found.reason.source, found.order) == (source, order)
    assert bool(found.stars) is (source is Source.LEARNED)
    assert found.reason.value == order[0] + 1


@pytest.mark.unit
def test_ranked_tells_that_the_first_is_best() -> None:
    found = ranked(seeds(190, 60), taste(*BRIGHT_IS_LIKED))
    assert (found.order, found.reason.source, found.reason.value) == ((0, 1), Source.LEARNED, 1)


@pytest.mark.unit
def test_ranked_by_loras() -> None:
    pictures = [ranked_picture("liked"), ranked_picture("disliked")]
    model = ValueModel([Observation(5, pictures[0]), Observation(1, pictures[1])] * 4, lambda _: LoRATraits())
    candidates = [Candidate(plan("disliked"), 0, USUAL), Candidate(plan("liked"), 0, USUAL)]
    found = ranked(candidates, model)
    assert (found.order, found.reason.source) == ((1, 0), Source.LEARNED)


def ranked_picture(name: str) -> Picture:
    from intelligence.generation.best_of import _picture

    return _picture(Candidate(plan(name), 0, USUAL))._replace(look=None)


@pytest.mark.unit
@pytest.mark.parametrize(
    ("limit", "expected"), [(None, 4), (60.0, 4), (24.1, 4), (23.9, 3), (16.1, 2), (15.9, 1), (5.0, 1)]
)
def test_affordable_within_time_limit(limit: float | None, expected: int) -> None:
    parameters = replace(
        plan().parameters, forward_items=16, decode_items=4.0, estimated_time_seconds=10.0, max_time_seconds=limit
    )
    # 20 items in 10 s; each picture that is tried takes 4 for its steps and 4 for its preview, finishing one 16 more
    assert affordable(4, parameters) == expected


@pytest.fixture(scope="module")
def pipeline(embedded_home: Path) -> IntelligentGenerationPipeline:
    return IntelligentGenerationPipeline(PipelineConfig(base_model="embedded"))


def test_best_of_equals_whole_run_and_tells_its_cost(pipeline: IntelligentGenerationPipeline) -> None:
    result = pipeline.generate(PROMPT, "blurry", 5, best_of=3, **SMALL)
    found = result.metadata.best_of
    assert isinstance(found, BestOf)
    assert (found.seeds, found.finished, found.stars, found.steps) == ((5, 6, 7), 0, (), 1)
    whole = pipeline.generate(PROMPT, "blurry", result.metadata.seed, **SMALL)
    assert result.image.tobytes() == whole.image.tobytes()
    assert result.generation.forward_items == (whole.generation.forward_items or 0) - found.kept_items
    assert found.forward_items == 3 * found.kept_items > 0 < found.seconds
    told = result.explanation.parameter_reasoning[BEST_OF]
    assert all(reason.evidence in told for reason in found.reasons)
    stored = Generation.from_dict(pipeline.learning.get_generation(result.generation.id).data)
    assert stored.best_of == found and stored.image_looks == result.generation.image_looks
    assert whole.metadata.best_of is None and BEST_OF not in explain(whole.generation).parameter_reasoning


def test_best_of_follows_ratings_of_looks(
    pipeline: IntelligentGenerationPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(best_of, "SURE", 0.5)  # nine stars leave much doubt
    monkeypatch.setattr(value_model, "LOOKS_PROVEN", 0.1)
    rated = []
    for number, prompt in enumerate(("a lake", "a red car", "a castle")):
        batch = pipeline.generate_batch(prompt, BatchConfig(3, base_seed=10 * number), **SMALL)
        batch.sort(key=lambda one: one.generation.image_looks[one.index][0])
        for one, stars in zip(batch, (1, 3, 5), strict=True):
            pipeline.provide_feedback(one.id, stars)
            rated.append(one.id)
    result = pipeline.generate("a forest", seed=40, best_of=5, **SMALL)
    found = result.metadata.best_of
    assert found is not None and found.reasons[0].source is Source.LEARNED
    assert found.stars[found.finished] == max(found.stars)
    whole = pipeline.generate("a forest", seed=40 + found.finished, **SMALL)
    assert result.image.tobytes() == whole.image.tobytes()
    scouting = pipeline.scout("a forest", seed=40, count=5, **SMALL)
    assert scouting.ranking is not None and scouting.ranking.order[0] == found.finished
    assert pipeline.generate_from_scouting(scouting).image.tobytes() == whole.image.tobytes()
    for one in rated:
        pipeline.remove_feedback(one)


def test_best_of_variations_equals_that_variation(pipeline: IntelligentGenerationPipeline) -> None:
    vary = VariationStrategy.LORA_VARIATION
    result = pipeline.generate(PROMPT, seed=3, best_of=2, variation_strategy=vary, **SMALL)
    found = result.metadata.best_of
    assert found is not None and found.seeds == (3, 3)
    batch = pipeline.generate_batch(PROMPT, BatchConfig(2, vary, base_seed=3), **SMALL)
    assert batch[0].image.tobytes() != batch[1].image.tobytes() == batch[1].image.tobytes()
    assert result.image.tobytes() == batch[found.finished].image.tobytes()


@pytest.mark.parametrize("best_of", [0, 65, True, 2.0])
def test_best_of_refuses_counts(pipeline: IntelligentGenerationPipeline, best_of: Any) -> None:
    with pytest.raises(InvalidInputError, match="best_of"):
        pipeline.generate(PROMPT, best_of=best_of)
