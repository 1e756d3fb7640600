"""Memory plans carried out by the diffusers host: LoRAs come and go under every placement, rounding can be left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from intelligence.config import OffloadStrategy
from intelligence.generation.diffusers_host import DiffusersHost
from intelligence.generation.embedded import EmbeddedModel, ensure_embedded
from intelligence.generation.story import GenerationPlan, Recommendations
from intelligence.lora import LoRARecommendation
from intelligence.memory import MemoryManager, MemoryPlan
from intelligence.parameters import OptimizedParameters
from intelligence.prompt import PromptAnalysis
from intelligence.registry import ModelMetadata

FULL, WHOLE_MODELS, STREAMED = OffloadStrategy.FULL_GPU, OffloadStrategy.CPU_OFFLOAD, OffloadStrategy.SEQUENTIAL
ORDER = ([0], [1], [], [0, 1], [0])
"""LoRAs of the embedded model, run after run."""


@pytest.fixture(scope="module")
def embedded(embedded_home: Path) -> EmbeddedModel:
    return ensure_embedded()


@pytest.fixture
def host(embedded: EmbeddedModel) -> DiffusersHost:
    return DiffusersHost("embedded")


@pytest.fixture(scope="module")
def plain(embedded: EmbeddedModel) -> Iterator[dict[tuple[int, ...], np.ndarray]]:
    """The pictures with everything on the device."""
    host = DiffusersHost("embedded")
    yield {tuple(chosen): picture(host, embedded, chosen) for chosen in ORDER}


def picture(host: DiffusersHost, embedded: EmbeddedModel, chosen: list[int], **memory: Any) -> np.ndarray:
    paths = [embedded.lora_paths[index] for index in chosen]
    loras = [
        LoRARecommendation(path.stem, ModelMetadata(path.name, path.stem, local_path=str(path)), 0.9, 1.0)
        for path in paths
    ]
    settings = OptimizedParameters(
        num_steps=2, guidance_scale=5.0, width=128, height=128, sampler_name="euler", scheduler="normal"
    )
    recommendations = Recommendations(PromptAnalysis("a cat"), loras, settings, prompt="a cat")
    plan = GenerationPlan(recommendations, MemoryPlan(**{"strategy": FULL, "device": "cpu", **memory}))
    return np.asarray(host.execute(plan, [0]).images[0]).astype(np.int16)


@pytest.mark.parametrize("strategy", [STREAMED, WHOLE_MODELS])
def test_loras_come_and_go(
    host: DiffusersHost, embedded: EmbeddedModel, plain: dict[tuple[int, ...], np.ndarray], strategy: OffloadStrategy
) -> None:
    assert np.abs(plain[(0,)] - plain[(1,)]).mean() > 5
    for chosen in ORDER:
        found = picture(host, embedded, chosen, strategy=strategy)
        assert np.abs(found - plain[tuple(chosen)]).max() <= 1


@pytest.mark.parametrize("strategy", [FULL, STREAMED, WHOLE_MODELS])
def test_rounded_weights_with_loras_and_back(
    host: DiffusersHost, embedded: EmbeddedModel, plain: dict[tuple[int, ...], np.ndarray], strategy: OffloadStrategy
) -> None:
    for chosen in ORDER:
        found = picture(host, embedded, chosen, strategy=strategy, weight_dtype="float8", cfg_split=True)
        assert 0 < np.abs(found - plain[tuple(chosen)]).mean() < 10
    assert np.abs(picture(host, embedded, [0]) - plain[(0,)]).max() <= 1


def test_the_embedded_model_is_predicted_by_its_own_networks(host: DiffusersHost) -> None:
    plan = MemoryManager().plan(1024, 1024, weights_gb=host.weights_gb(), configs=host.configs())
    usual = MemoryManager().plan(1024, 1024, weights_gb=host.weights_gb())
    assert plan.predicted_peak_gb < usual.predicted_peak_gb / 5
