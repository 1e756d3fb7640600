"""Measures LoRA files against models of ComfyUI's own classes and prints the shares as JSON, in ComfyUI's process.

    python fit_program.py CHECKOUT LORAS HOME [PATCHED] [--load] [--models=NAME,…]

With PATCHED, a folder of LoRAs for SD 1.5, it also prints what the pack finds on models that are patched with them.
With `--load`, each LoRA is also loaded and its weights calculated by ComfyUI itself, on the meta device. The models are
those of `network_configs` that LoRAs of `lora_patterns` were made for, unless they are named.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from contextlib import suppress
from typing import Any

from comfy_process import become_comfyui


class Errors(logging.Handler):
    """Counts what ComfyUI logs while it calculates weights, but for BOFT's constraint, which compares values."""

    count = 0

    def emit(self, record: logging.LogRecord) -> None:
        said = record.getMessage()
        self.count += ("ERROR" in said or "NOT MERGED" in said) and "cannot be called on meta tensors" not in said


def loaded_by_comfyui(model: Any, clip: Any, path: str) -> int:
    """Return the number of patches of a LoRA that change a weight, by ComfyUI's own loader and adapters."""
    import comfy.lora
    import comfy.sd
    import torch
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        shapes = {key: file.get_slice(key).get_shape() for key in file.keys()}  # noqa: SIM118
    lora = {key: torch.empty(shape, device="meta") if shape else torch.ones(()) for key, shape in shapes.items()}
    patched, patched_clip = comfy.sd.load_lora_for_models(model, clip, lora, 1.0, 1.0)
    changed = 0
    logger, errors = logging.getLogger(), Errors()
    logger.handlers = [errors]
    for patcher in (patched, *([patched_clip.patcher] if clip is not None else [])):
        weights = patcher.model.state_dict()
        for key, patches in patcher.patches.items():
            for patch in patches:
                weight = torch.empty(weights[key].shape, device="meta")
                with suppress(RuntimeError, IndexError):  # a part of a fused weight that is not there
                    comfy.lora.calculate_weight([patch], weight, key)
                    changed += 1
    return changed - errors.count


def main() -> None:
    checkout, loras, home, *flags = sys.argv[1:]
    others = [flag for flag in flags if not flag.startswith("--")]
    chosen = [name for flag in flags if flag.startswith("--models=") for name in flag.partition("=")[2].split(",")]
    become_comfyui(checkout, home)
    import meta_models
    from lora_patterns import OTHER_EDITIONS, PATTERNS
    from pack.intelligence.lora.target_model import TargetModel, find_base, incompatibility, load_problem
    from pack.intelligence.models import ModelKind
    from pack.nodes.host import model_evidence, model_targets, server_planner

    logging.disable(logging.WARNING)
    registry = server_planner.planner().registry
    registry.scan([loras, *others])
    known = registry.summaries(ModelKind.LORA)
    files = [lora for lora in known if lora.local_path.startswith(loras)]
    result: dict[str, Any] = {"models": {}, "architectures": {lora.name: lora.architecture for lora in files}}
    usual = {pattern.network for pattern in PATTERNS.values()} | OTHER_EDITIONS.keys()
    for name in filter(meta_models.available, chosen or sorted(usual)):
        model, clip = meta_models.model(name), meta_models.clip(name)
        started = time.perf_counter()
        fit = model_targets.lora_fit(model, clip)
        seconds_targets = time.perf_counter() - started
        base: TargetModel = find_base(model_evidence.evidence(model, None, ""), fit)
        shares = {}
        started, started_cpu = time.perf_counter(), time.thread_time()
        for lora in files:
            share = base.measure(lora)
            assert share is not None
            auto, named = incompatibility(lora, base), load_problem(lora, base)
            shares[lora.name] = {
                "unet": share.unet,
                "text": share.text,
                "loaded": share.loaded,
                "auto": auto.message if auto else None,
                "named": named.message if named else None,
            }
        seconds_first, cpu_first = time.perf_counter() - started, time.thread_time() - started_cpu
        started = time.perf_counter()
        for lora in files:
            base.measure(lora)
        seconds_again = time.perf_counter() - started
        if "--load" in flags:
            logging.disable(logging.NOTSET)
            for lora in files:
                named = sum(shares[lora.name]["unet"][:2]) + sum(shares[lora.name]["text"][:2])
                shares[lora.name]["comfyui"] = (not named and 0) or loaded_by_comfyui(model, clip, lora.local_path)
            logging.disable(logging.WARNING)
        result["models"][name] = {
            "architecture": base.architecture,
            "loras": shares,
            "seconds_targets": seconds_targets,
            "ms_per_lora_first": 1000 * seconds_first / len(files),
            "cpu_ms_per_lora_first": 1000 * cpu_first / len(files),
            "ms_per_lora_again": 1000 * seconds_again / len(files),
        }
    if others:
        from pack.nodes.host import model_patches
        from patched_models import patched_ways

        paths = {lora.name: lora.local_path for lora in known}
        result["patched"] = patched_ways(others[0], model_patches, paths)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
