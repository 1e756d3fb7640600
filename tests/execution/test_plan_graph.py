"""A graph for a server, read as the nodes read it, asks for the plan that it was made of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from intelligence import InvalidInputError
from intelligence.generation.choice_requests import LoRARequest, SettingsRequest, applied_settings
from intelligence.generation.execution.graph_jobs import jobs_of_graph
from intelligence.generation.execution.plan_graph import plan_graph
from intelligence.generation.pack_graph import SAMPLER, node
from intelligence.generation.planner import Planner
from intelligence.generation.postprocess.steps import StepKind, switched_off
from intelligence.generation.stages import GenerationPlan
from intelligence.learning import LearningEngine
from intelligence.memory import MemoryRequest, Resources, hypothetical_gpu
from intelligence.models import ModelEvidence
from intelligence.registry import ModelRegistry

CARD = hypothetical_gpu(24, Resources("cpu", "Test", 64, 48, 64, 48))
UPSCALER = "4x-UltraSharp.pth"
SDXL = ModelEvidence(name="sd_xl_base_1.0.safetensors")
SD15 = ModelEvidence(name="v1-5-pruned-emaonly.safetensors")
FLUX = ModelEvidence(name="flux1-dev.safetensors")


@pytest.fixture
def planner(tmp_path: Path) -> Planner:
    return Planner(ModelRegistry(tmp_path / "registry.db"), LearningEngine(tmp_path / "learning.db"))


def planned(planner: Planner, model: ModelEvidence, **settings: Any) -> GenerationPlan:
    chosen = planner.recommend(planner.analyze("a red fox"), model, LoRARequest(quality_tags=False))
    request = SettingsRequest(settings=settings, resources=CARD, upscalers=(UPSCALER,))
    return planner.plan(planner.parametrize(chosen, request), MemoryRequest(images=1), CARD)


def passes(plan: GenerationPlan) -> tuple[Any, ...]:
    """Sizes, steps, denoise and upscaler of both passes."""
    made, second = plan.parameters, plan.parameters.second_pass
    first = (second.width, second.height, second.steps, second.denoise, second.upscaler) if second else None
    return made.width, made.height, made.num_steps, first


@pytest.mark.parametrize(
    ("model", "settings", "size", "first"),
    [
        (SDXL, {"width": 1024, "height": 1024}, (1024, 1024), None),
        (SDXL, {"width": 2048, "height": 2048, "second_pass": "off"}, (2048, 2048), None),
        (SDXL, {"width": 2048, "height": 2048}, (2048, 2048), (1024, 1024, UPSCALER)),
        (SDXL, {"width": 2048, "height": 1536, "upscaler": "latent"}, (2048, 1536), (1024, 768, "latent")),
        (FLUX, {"width": 1024, "height": 1024, "second_pass": "on"}, (1536, 1536), (1024, 1024, UPSCALER)),
        (SD15, {"width": 512, "height": 640, "second_pass": "on"}, (768, 960), (512, 640, UPSCALER)),
        (SD15, {"width": 512, "height": 512, "second_pass": "on", "upscaler": "latent"}, (768,) * 2, (512,) * 2),
    ],
)
def test_graph_asks_for_the_plan(
    planner: Planner,
    model: ModelEvidence,
    settings: dict[str, Any],
    size: tuple[int, int],
    first: tuple[Any, ...] | None,
) -> None:
    plan = planned(planner, model, **settings)
    second = plan.parameters.second_pass
    assert (plan.parameters.width, plan.parameters.height) == size
    assert (second and (second.width, second.height, second.upscaler)[: len(first or ())]) == first
    graph = plan_graph(plan, (7,), model.name, "jobs/one")
    (job,) = jobs_of_graph(graph, "", planner, lambda family, node_id: model)
    assert passes(GenerationPlan(job.recommendations, plan.memory)) == passes(plan)


@pytest.mark.parametrize(
    "file", ["sd_xl_base_1.0", "noobaiXLVpred", "flux1-dev", "flux2-dev", "sd3.5_large", "qwen_image_fp8"]
)
def test_graph_asks_for_the_settings_of_the_family(planner: Planner, file: str) -> None:
    model = ModelEvidence(name=f"{file}.safetensors")
    plan = planned(planner, model)
    (job,) = jobs_of_graph(plan_graph(plan, (7,), model.name, "jobs/one"), "", planner, lambda family, node_id: model)
    assert applied_settings([job.recommendations]) == applied_settings([plan.recommendations])


@pytest.mark.parametrize("switches", [{"repair": True, "seam_check": True}, {"repair": False, "seam_check": False}])
def test_graph_asks_for_the_steps_of_the_plan(planner: Planner, switches: dict[str, bool]) -> None:
    plan = planned(planner, SDXL).without(switched_off(**switches))
    graph = plan_graph(plan, (7,), SDXL.name, "jobs/one")
    assert {name: graph[SAMPLER]["inputs"][name] for name in switches} == switches
    (job,) = jobs_of_graph(graph, "", planner, lambda family, node_id: SDXL)
    assert (job.config.repair, job.config.seam_check) == tuple(switches.values())
    assert plan.takes(StepKind.SEAM_CHECK) is switches["seam_check"]


def test_page_chooses_among_its_upscale_models(planner: Planner) -> None:
    graph = plan_graph(planned(planner, SDXL, width=2048, height=2048), (7,), SDXL.name, "jobs/one")
    graph["3"]["inputs"]["mode"] = "AUTO"
    graph[SAMPLER]["inputs"] |= {"second_pass": "auto", "upscaler": "auto"}
    (job,) = jobs_of_graph(graph, "", planner, lambda family, node_id: SDXL, upscalers=[UPSCALER])
    second = job.recommendations.suggested_params.second_pass
    assert second is not None
    assert second.upscaler == UPSCALER


def test_sizes_that_nodes_cannot_be_asked_for_are_refused(planner: Planner) -> None:
    plan = planned(planner, SDXL, width=2048, height=2048)
    second = plan.parameters.second_pass
    assert second is not None
    with pytest.raises(InvalidInputError, match="960x960 to 2048x2048"):
        plan_graph(plan.changed(second_pass=replace(second, width=960, height=960)), (7,), SDXL.name, "jobs/one")


def test_second_loader_is_refused(planner: Planner) -> None:
    """Its VAE would be left out."""
    graph = plan_graph(planned(planner, SDXL), (7,), SDXL.name, "jobs/one")
    graph["other"] = node("CheckpointLoaderSimple", ckpt_name="other.safetensors")
    graph[SAMPLER]["inputs"]["vae"] = ["other", 2]
    with pytest.raises(InvalidInputError, match="one loader"):
        jobs_of_graph(graph, "", planner, lambda family, node_id: SDXL)
