"""The pack's own graph, in ComfyUI's API format, that makes a picture again by its metadata."""

from __future__ import annotations

from ..config import AUTO, EMBEDDED_MODEL
from ..parameters.samplers import SAMPLER_NAMES, a1111_name
from ..parameters.schedules import SCHEDULER_NAMES
from ..pictures.picture_info import OWN_PROGRAM, PictureInfo
from .pack_graph import SAMPLER, Node, node, pack_graph, saver


def picture_graph(info: PictureInfo) -> dict[str, Node]:
    """Return a prompt for `POST /prompt`, which the page opens as a workflow too.

    The checkpoint and the LoRAs are those of the picture by name; settings that it does not tell are chosen anew.
    """
    settings = info.settings
    sampler, scheduler = _comfy_names(str(settings.get("sampler", "")), str(settings.get("scheduler", "")))
    selection = [{"lora": lora.name, "strength": lora.strength} for lora in info.loras]
    graph = pack_graph(
        _loader(info),
        (info.prompt, info.negative_prompt),
        selection,
        {"mode": "AUTO", "quality_tags": info.program == OWN_PROGRAM},
        {
            "images": 1,
            "steps": settings.get("steps", 0),
            "cfg": settings.get("cfg", 0.0),
            "sampler": sampler,
            "scheduler": scheduler,
            "width": settings.get("width", 0),
            "height": settings.get("height", 0),
        },
        {"seed": settings.get("seed") or 0},
    )
    made, images = [SAMPLER, 2], [SAMPLER, 0]
    return {
        **graph,
        "9": node("Explain", generation=made),
        "10": node("Feedback", generation=made, images=images, generation_id="", rating=0, comments=""),
        "11": saver("Intelligent"),
    }


def _loader(info: PictureInfo) -> Node:
    if info.program == OWN_PROGRAM and info.model in ("", EMBEDDED_MODEL):
        return node("EmbeddedDemoModel")
    return node("CheckpointLoaderSimple", ckpt_name=info.model)


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
