"""The pack's own graph, in ComfyUI's API format, that makes a picture again by its metadata."""

from __future__ import annotations

import json
from typing import Any

from ..config import AUTO, EMBEDDED_MODEL, LoRAPreferences
from ..parameters.samplers import SAMPLER_NAMES, a1111_name
from ..parameters.schedules import SCHEDULER_NAMES
from ..pictures.picture_info import OWN_PROGRAM, PictureInfo

Node = dict[str, Any]


def picture_graph(info: PictureInfo) -> dict[str, Node]:
    """Return a prompt for `POST /prompt`, which the page opens as a workflow too.

    The checkpoint and the LoRAs are those of the picture by name; settings that it does not tell are chosen anew.
    """
    settings = info.settings
    sampler, scheduler = _comfy_names(str(settings.get("sampler", "")), str(settings.get("scheduler", "")))
    selection = [{"lora": lora.name, "strength": lora.strength} for lora in info.loras]
    graph: dict[str, Node] = {
        "1": _node("PromptAnalyze", prompt=info.prompt, negative_prompt=info.negative_prompt, analyzer="rules"),
        "2": _loader(info),
        "3": _node(
            "LoRARecommend",
            analysis=["1", 0],
            model=["2", 0],
            clip=["2", 1],
            mode="AUTO",
            selection=json.dumps(selection),
            on_unconfirmed="error",
            max_loras=LoRAPreferences.max_loras,
            min_confidence=LoRAPreferences.min_confidence,
            allow_style_mixing=False,
            quality_tags=info.program == OWN_PROGRAM,
            variations=1,
        ),
        "4": _node("CLIPTextEncode", text=["3", 2], clip=["3", 1]),
        "5": _node("CLIPTextEncode", text=["3", 3], clip=["3", 1]),
        "6": _node(
            "ParamOptimize",
            recommendations=["3", 4],
            model=["3", 0],
            priority="BALANCED",
            max_time_seconds=0.0,
            max_vram_gb=0.0,
            images=1,
            aspect=AUTO,
            steps=settings.get("steps", 0),
            cfg=settings.get("cfg", 0.0),
            sampler=sampler,
            scheduler=scheduler,
            width=settings.get("width", 0),
            height=settings.get("height", 0),
            variations=1,
        ),
        "7": _node("MemoryPlan", model=["3", 0], vae=["2", 2], parameters=["6", 0], strategy="auto", tile_size="auto"),
        "8": _node(
            "IntelligentSampler",
            model=["7", 0],
            positive=["4", 0],
            negative=["5", 0],
            vae=["2", 2],
            plan=["7", 1],
            seed=settings.get("seed") or 0,
            seeds_per_image=True,
        ),
        "9": _node("Explain", generation=["8", 2]),
        "10": _node("Feedback", generation=["8", 2], images=["8", 0], generation_id="", rating=0, comments=""),
        "11": _node(
            "SaveGeneration", images=["8", 0], generation=["8", 2], filename_prefix="Intelligent", format="png"
        ),
    }
    return graph


def _node(class_type: str, **inputs: Any) -> Node:
    return {"class_type": class_type, "inputs": inputs}


def _loader(info: PictureInfo) -> Node:
    if info.program == OWN_PROGRAM and info.model in ("", EMBEDDED_MODEL):
        return _node("EmbeddedDemoModel")
    return _node("CheckpointLoaderSimple", ckpt_name=info.model)


def _comfy_names(sampler: str, scheduler: str) -> tuple[str, str]:
    """Return ComfyUI's names of a sampler and a schedule, also for A1111's; `auto` for those it does not know."""
    samplers = {a1111_name(name, "normal")[0].casefold(): name for name in reversed(SAMPLER_NAMES)}
    schedules = {a1111_name("euler", name)[1].casefold(): name for name in SCHEDULER_NAMES}
    title, schedule = sampler.casefold(), scheduler.casefold()
    for ending, name in schedules.items():  # A1111 before 1.9: `DPM++ 2M Karras`
        if title.endswith(f" {ending}") and title not in samplers:
            title, schedule = title.removesuffix(f" {ending}"), schedule or name
    known = sampler if sampler in SAMPLER_NAMES else samplers.get(title, AUTO)
    if schedule in SCHEDULER_NAMES:
        return known, schedule
    return known, schedules.get(schedule, AUTO)
