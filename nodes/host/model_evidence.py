"""Evidence of a loaded model: collected from ComfyUI, the graph and the registry."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath
from typing import Any

import comfy.model_sampling

from ...intelligence.config import EMBEDDED_MODEL
from ...intelligence.models import Architecture, Family, ModelEvidence, ModelKind, ModelMetadata
from .model_patches import applied_loras, sampling_patches
from .server_planner import planner

ARCHITECTURES = (
    ("EmbeddedDemo", Architecture.DEMO),
    ("SDXLRefiner", Architecture.OTHER),
    ("SDXL", Architecture.SDXL),
    ("SD15", Architecture.SD1),
    ("SD20", Architecture.SD2),
    ("SD3", Architecture.SD3),
    ("Flux", Architecture.FLUX),
)
"""Class (or base class) of `comfy.supported_models` → architecture; the first match counts."""

PREDICTIONS = (
    (comfy.model_sampling.ModelSamplingContinuousEDM, "edm"),
    (comfy.model_sampling.V_PREDICTION, "v_prediction"),
)
"""Class of the loaded model's sampling → prediction type; the first match counts."""

FILE_INPUTS = ("ckpt_name", "unet_name", "model_name")
"""Widgets of loader nodes with the file's name."""

DEMO_LOADER = "EmbeddedDemoModel"
"""Loader node of the embedded demo model, which has no such widget."""

LORA_INPUT = "lora_name"
"""Widget of the core LoRA loaders with the file's name."""


def evidence(model: Any, graph: Any, node_id: str, family: Family = Family.UNKNOWN) -> ModelEvidence:
    """Return the evidence of a MODEL, or of the file in the upstream loader when the MODEL was not loaded (None).

    Args:
        graph: the hidden dynprompt, which holds the loader.
        node_id: the node with the `model` input.
        family: the user's own word; UNKNOWN: none.
    """
    path = _recorded_path(model)
    loader, loras = _upstream(graph, node_id)
    name = Path(path).name if path else loader
    known = _registered(path, name)
    facts: dict[str, Any] = {"architecture": known.architecture} if known else {}
    if loader == EMBEDDED_MODEL:
        facts = {"architecture": Architecture.DEMO}
    if model is not None:
        sampling = model.get_model_object("model_sampling")
        facts = {
            "architecture": _architecture(model),
            "prediction": next((found for kind, found in PREDICTIONS if isinstance(sampling, kind)), "epsilon"),
            "sigma_max": float(sampling.sigma_max),
        }
    if known:
        facts |= {"metadata": known.metadata, "base_model": known.base_model}
    if model is not None:
        applied = applied_loras(model, loras)
        loras = tuple(lora.name for lora in applied if lora.name)
        facts |= {"applied": applied, "patches": sampling_patches(model)}
    return ModelEvidence(name=name, path=path, loras=loras, family=family, **facts)


def _architecture(model: Any) -> Architecture:
    names = {base.__name__ for base in type(model.model.model_config).__mro__}
    return next((found for name, found in ARCHITECTURES if name in names), Architecture.OTHER)


def _recorded_path(model: Any) -> str | None:
    """Return the file in the loaded model's own record (ComfyUI 0.33; 0.8.0 has no such record)."""
    record = getattr(model, "cached_patcher_init", None)
    path = record[1][0] if record and record[1] else None
    return path if isinstance(path, str) else None


def _upstream(graph: Any, node_id: str) -> tuple[str, tuple[str, ...]]:
    """Return the file name in the loader of `node_id`'s model, or "", and those of the LoRAs applied in between.

    `embedded` stands for the file name of the demo model.
    """
    seen: set[str] = set()
    loras: list[str] = []
    while graph is not None and node_id not in seen and graph.has_node(node_id):
        seen.add(node_id)
        node = graph.get_node(node_id)
        inputs = node["inputs"]
        if isinstance(inputs.get(LORA_INPUT), str) and inputs.get("strength_model") != 0:
            loras.append(PureWindowsPath(inputs[LORA_INPUT]).name)
        if node["class_type"] == DEMO_LOADER:
            return EMBEDDED_MODEL, tuple(loras)
        for widget in FILE_INPUTS:
            if isinstance(inputs.get(widget), str):
                return PureWindowsPath(inputs[widget]).name, tuple(loras)
        link = inputs.get("model")
        if not isinstance(link, list):
            break
        node_id = link[0]
    return "", tuple(loras)


def _registered(path: str | None, name: str) -> ModelMetadata | None:
    """Return the checkpoint's record in the registry: found by its path, or by its file name where there is no path."""
    registry = planner().registry
    for known in registry.summaries(ModelKind.CHECKPOINT) if name else ():
        file = Path(known.local_path)
        if (file == Path(path)) if path else (file.name == name):
            return registry.get_model(known.model_id)
    return None
