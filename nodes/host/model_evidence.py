"""Evidence of a loaded model: collected from ComfyUI, the graph and the registry."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath
from typing import Any

from ...intelligence.config import EMBEDDED_MODEL
from ...intelligence.models import Architecture, Family, ModelEvidence, ModelKind, ModelMetadata
from .checkpoint_choice import choose_checkpoint
from .model_patches import applied_loras, sampling_patches
from .model_paths import header_evidence, model_path
from .network_evidence import network_facts
from .server_planner import planner

FILE_INPUTS = ("ckpt_name", "unet_name", "model_name")
"""Widgets of loader nodes with the file's name."""

DEMO_LOADER = "EmbeddedDemoModel"
"""Loader node of the embedded demo model, which has no such widget."""

FIRST_LOADER = "CheckpointOrFirst"
"""Loader node that may take another checkpoint than its widget names."""

HEADER_FIELDS = ("architecture", "prediction", "sigma_max", "metadata", "edition")

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
    name = Path(path).name if path else PureWindowsPath(loader).name
    facts = {"architecture": Architecture.DEMO} if loader == EMBEDDED_MODEL else _file_facts(path, loader, name)
    if model is not None:
        facts |= network_facts(model)
        applied = applied_loras(model, loras)
        loras = tuple(lora.name for lora in applied if lora.name)
        facts |= {"applied": applied, "patches": sampling_patches(model)}
    return ModelEvidence(name=name, path=path, loras=loras, family=family, **facts)


def _recorded_path(model: Any) -> str | None:
    """Return the file in the loaded model's own record (ComfyUI 0.33; 0.8.0 has no such record)."""
    record = getattr(model, "cached_patcher_init", None)
    path = record[1][0] if record and record[1] else None
    return path if isinstance(path, str) else None


def _upstream(graph: Any, node_id: str) -> tuple[str, tuple[str, ...]]:
    """Return the file in the loader of `node_id`'s model as its widget has it, or "", and the names of the LoRAs that
    are applied in between.

    `embedded` stands for the file of the demo model.
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
            if isinstance(name := inputs.get(widget), str):
                return choose_checkpoint(name).name if node["class_type"] == FIRST_LOADER else name, tuple(loras)
        link = inputs.get("model")
        if not isinstance(link, list):
            break
        node_id = link[0]
    return "", tuple(loras)


def _file_facts(path: str | None, loader: str, name: str) -> dict[str, Any]:
    """Return the fields of `ModelEvidence` that the registry, or the file's own header, has on a checkpoint."""
    if known := _registered(path, name):
        return {"architecture": known.architecture, "metadata": known.metadata, "base_model": known.base_model}
    file = path or model_path(loader)
    found = header_evidence(file) if file else None
    return {each: getattr(found, each) for each in HEADER_FIELDS} if found else {}


def _registered(path: str | None, name: str) -> ModelMetadata | None:
    """Return the checkpoint's record in the registry: found by its path, or by its file name where there is no path."""
    registry = planner().registry
    for known in registry.summaries(ModelKind.CHECKPOINT) if name else ():
        file = Path(known.local_path)
        if (file == Path(path)) if path else (file.name == name):
            return registry.get_model(known.model_id)
    return None
