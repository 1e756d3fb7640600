"""Memory plans carried out by the diffusers host: LoRAs come and go under every placement, rounding can be left."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from intelligence.config import OffloadStrategy
from intelligence.generation.diffusers_host import DiffusersHost, loader
from intelligence.generation.diffusers_host import host as host_module
from intelligence.generation.embedded import EmbeddedModel
from intelligence.generation.stages import GenerationPlan, Recommendations
from intelligence.lora import LoRARecommendation
from intelligence.memory import MemoryManager, MemoryPlan, quantization
from intelligence.models import Architecture, ModelMetadata
from intelligence.parameters import OptimizedParameters
from intelligence.prompt import PromptAnalysis

FULL, WHOLE_MODELS, STREAMED = OffloadStrategy.FULL_GPU, OffloadStrategy.CPU_OFFLOAD, OffloadStrategy.SEQUENTIAL
ORDER = ([0], [1], [], [0, 1], [0])
"""LoRAs of the embedded model, run after run."""


@pytest.fixture
def host(embedded: EmbeddedModel) -> DiffusersHost:
    return DiffusersHost("embedded")


@pytest.fixture(scope="module")
def plain(embedded: EmbeddedModel) -> Iterator[dict[tuple[int, ...], np.ndarray]]:
    """The pictures with everything on the device."""
    host = DiffusersHost("embedded")
    yield {tuple(chosen): picture(host, embedded, chosen) for chosen in ORDER}


def needs_library(dtype: str) -> None:
    if dtype in quantization.LIBRARIES:
        pytest.importorskip(quantization.LIBRARIES[dtype])


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
def test_execute_changes_loras_under_every_plan(
    host: DiffusersHost, embedded: EmbeddedModel, plain: dict[tuple[int, ...], np.ndarray], strategy: OffloadStrategy
) -> None:
    assert np.abs(plain[(0,)] - plain[(1,)]).mean() > 5
    for chosen in ORDER:
        found = picture(host, embedded, chosen, strategy=strategy)
        assert np.abs(found - plain[tuple(chosen)]).max() <= 1


@pytest.mark.parametrize(
    ("dtype", "strategy", "limit"),
    [
        ("float8", FULL, 40),
        ("float8", STREAMED, 40),
        ("float8", WHOLE_MODELS, 40),
        ("int8", FULL, 2),
        ("int8", WHOLE_MODELS, 2),
        ("nf4", FULL, 10),
        ("nf4", WHOLE_MODELS, 10),
    ],
)
def test_execute_rounds_weights_and_restores_them(
    host: DiffusersHost,
    embedded: EmbeddedModel,
    plain: dict[tuple[int, ...], np.ndarray],
    dtype: str,
    strategy: OffloadStrategy,
    limit: float,
) -> None:
    """`limit`: mean difference, of 255; that of the first LoRA is 97.

    float8 has three bits for the demo model's path of the noise, which two steps rely on.
    """
    needs_library(dtype)
    for chosen in ORDER:
        found = picture(host, embedded, chosen, strategy=strategy, weight_dtype=dtype, cfg_split=True)
        assert 0 < np.abs(found - plain[tuple(chosen)]).mean() < limit
    assert np.abs(picture(host, embedded, [0]) - plain[(0,)]).max() <= 1


def test_execute_decodes_in_bfloat16_and_back(
    host: DiffusersHost, embedded: EmbeddedModel, plain: dict[tuple[int, ...], np.ndarray]
) -> None:
    whole, tiled = (picture(host, embedded, [0], vae_dtype="float32", tile_size=tile) for tile in (0, 64))
    for strategy in (FULL, WHOLE_MODELS, STREAMED):
        for tile, exact in ((0, whole), (64, tiled)):
            found = picture(host, embedded, [0], strategy=strategy, vae_dtype="bfloat16", tile_size=tile)
            assert 0 < np.abs(found - exact).mean() < 2
    assert np.abs(picture(host, embedded, [0], vae_dtype="float32") - plain[(0,)]).max() <= 1


@pytest.mark.parametrize("dtype", ["int8", "nf4"])
def test_execute_loads_loras_onto_integer_weights(
    host: DiffusersHost, embedded: EmbeddedModel, monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    """The base model is loaded once for all of them."""
    needs_library(dtype)
    loads = []
    monkeypatch.setattr(
        host_module, "load_pipeline", lambda *model: loads.append(model) or loader.load_pipeline(*model)
    )
    first, *_, last = [picture(host, embedded, chosen, weight_dtype=dtype) for chosen in ORDER]
    assert len(loads) == 1
    assert np.abs(first - last).max() <= 1


def test_plan_predicts_embedded_model_by_its_networks(host: DiffusersHost) -> None:
    plan = MemoryManager().plan(1024, 1024, weights_gb=host.weights_gb(), configs=host.configs())
    by_weights = MemoryManager().plan(1024, 1024, weights_gb=host.weights_gb(), architecture=Architecture.DEMO)
    assert plan.predicted_peak_gb == by_weights.predicted_peak_gb == pytest.approx(0.843, abs=0.001)
    assert plan.predicted_peak_gb < MemoryManager().plan(1024, 1024).predicted_peak_gb / 5
