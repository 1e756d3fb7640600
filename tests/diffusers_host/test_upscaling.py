"""Enlarging by an upscale model without ComfyUI: found, planned, done, told, and learned from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import ImageOps

from intelligence import (
    BatchConfig,
    IntelligentGenerationPipeline,
    InvalidInputError,
    ModelRegistry,
    PipelineConfig,
    UnsupportedModelError,
)
from intelligence.generation.postprocess import upscale_models
from intelligence.generation.postprocess.steps import StepKind
from intelligence.models import ModelKind
from intelligence.parameters.speed import upscale_key
from tests.comfyui import launcher
from tests.comfyui.upscale_models import peak_on_the_cpu, write_upscale_model

launcher.declare_torchvision_operators()
pytest.importorskip("spandrel")

NAME = "2x-tiny-esrgan.safetensors"
SMALL: dict[str, Any] = {"width": 64, "height": 64, "steps": 3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("upscale_models")
    write_upscale_model(folder / NAME)
    torch.save(upscale_models.load(folder / NAME).model.state_dict(), folder / "2x-tiny-lsdir.pth")
    torch.save({"weight": torch.zeros(3)}, folder / "other.pth")
    return folder


@pytest.fixture(scope="module")
def pipeline(embedded_home: Path, folder: Path) -> IntelligentGenerationPipeline:
    registry = ModelRegistry(folder / "registry.db")
    registry.scan({ModelKind.UPSCALER: [folder]})
    return IntelligentGenerationPipeline(PipelineConfig(base_model="embedded"), registry)


def test_scan_lists_upscale_models_pickles_too(pipeline: IntelligentGenerationPipeline) -> None:
    names = {model.name for model in pipeline.registry.list_models(ModelKind.UPSCALER)}
    assert names == {"2x-tiny-esrgan", "2x-tiny-lsdir", "other"}


def test_pickle_holds_the_same_model(folder: Path) -> None:
    picture = torch.rand(3, 48, 40, generator=torch.Generator().manual_seed(0))
    one, other = (
        upscale_models.enlarged(upscale_models.load(folder / name), picture, 512)
        for name in (NAME, "2x-tiny-lsdir.pth")
    )
    assert torch.equal(one, other) and one.shape == (3, 96, 80)


def test_what_is_no_upscale_model_is_refused(pipeline: IntelligentGenerationPipeline, folder: Path) -> None:
    with pytest.raises(UnsupportedModelError, match=r"other\.pth"):
        upscale_models.load(folder / "other.pth")
    with pytest.raises(InvalidInputError, match="upscaler must be auto or one of"):
        pipeline.generate("a lake", second_pass="on", upscaler="missing.pth", **SMALL)


@pytest.mark.parametrize("side", [96, 160])
def test_cost_foretells_the_peak(folder: Path, side: int) -> None:
    model = upscale_models.load(folder / NAME)
    foretold = upscale_models.cost_of(model, "cpu").pixel_bytes * side**2
    assert foretold == pytest.approx(peak_on_the_cpu(model, side), rel=0.08)


def test_tiles_join_without_a_seam(folder: Path) -> None:
    model = upscale_models.load(folder / NAME)
    picture = torch.rand(3, 100, 200, generator=torch.Generator().manual_seed(1))
    whole, tiled = (upscale_models.enlarged(model, picture, tile) for tile in (512, 128))
    off = (whole - tiled).abs()
    # Two tiles, 0 … 128 and 72 … 200: where one of them is alone, its far end is out of the network's sight.
    assert float(off[..., :144].max()) < 1e-5 > float(off[..., 256:].max())
    assert float(off.mean()) < 1 / 255


def test_second_pass_by_a_model(pipeline: IntelligentGenerationPipeline) -> None:
    result = pipeline.generate("a lake", seed=4, second_pass="on", upscaler=NAME, **SMALL)
    generation, parameters = result.generation, result.generation.plan.parameters
    second = parameters.second_pass
    assert second is not None and second.cost is not None and second.cost.scale == 2
    assert result.image.size == (96, 96) == (parameters.width, parameters.height)
    assert (second.upscaler, second.denoise) == (NAME, 0.4)
    assert generation.forward_items == parameters.forward_items
    step = next(step for step in generation.plan.postprocess if step.kind is StepKind.ENLARGE)
    assert step.seconds == second.enlarging_seconds and step.memory_gb == generation.plan.memory.stages["upscale"]
    (timing,) = pipeline.learning.timings(upscale_key(generation.plan.memory.device, NAME))
    again = pipeline.analyze_and_recommend("a lake").suggested_params
    assert again.second_pass is None
    planned = pipeline.generate("a lake", seed=4, second_pass="on", upscaler=NAME, **SMALL)
    told = planned.generation.plan.parameters.second_pass
    assert told is not None and told.enlarging_seconds == pytest.approx(timing.seconds)
    assert planned.image.tobytes() == result.image.tobytes()


def test_auto_takes_a_known_model_of_the_library(pipeline: IntelligentGenerationPipeline) -> None:
    result = pipeline.generate("photo of a lake", seed=4, second_pass="on", **SMALL)
    second = result.generation.plan.parameters.second_pass
    assert second is not None and second.upscaler == "2x-tiny-lsdir.pth"


@dataclass
class Invert:
    name: str = "invert"

    def process(self, image: Any, plan: Any) -> Any:
        return ImageOps.invert(image)


def test_own_steps_are_taken_in_batches(pipeline: IntelligentGenerationPipeline) -> None:
    plain = pipeline.generate_batch("a lake", BatchConfig(2, base_seed=4), **SMALL)
    pipeline.own_steps = (Invert(),)
    try:
        stepped = pipeline.generate_batch("a lake", BatchConfig(2, base_seed=4), **SMALL)
    finally:
        pipeline.own_steps = ()
    for one, other in zip(plain, stepped, strict=True):
        assert ImageOps.invert(one.image).tobytes() == other.image.tobytes()
        assert other.generation.plan.postprocess[-1].name == "invert"


def test_switched_off_steps_are_told(embedded_home: Path) -> None:
    pipeline = IntelligentGenerationPipeline(PipelineConfig(base_model="embedded", repair=False, seam_check=False))
    result = pipeline.generate("a lake", seed=4, **SMALL)
    steps = {step.kind: step.on for step in result.generation.plan.postprocess}
    assert steps[StepKind.REPAIR] is False
    assert any(note.startswith("switched off: ") for note in result.explanation.performance_notes)
