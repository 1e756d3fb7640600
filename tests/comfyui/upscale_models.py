"""Upscale models for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def write_upscale_model(file: Path) -> None:
    """Write a tiny random ESRGAN that enlarges twofold, under the names of its first published form."""
    import torch
    from safetensors.torch import save_file

    width, growth = 8, 32
    shapes = {"model.0": (width, 3), "model.1.sub.1": (width, width), "model.3": (width, width)}
    shapes |= {"model.5": (width, width), "model.7": (3, width)}
    for block in (1, 2, 3):
        for conv in range(1, 6):
            made = width if conv == 5 else growth
            shapes[f"model.1.sub.0.RDB{block}.conv{conv}.0"] = (made, width + growth * (conv - 1))
    noise, weights = torch.Generator().manual_seed(0), {}
    for name, (made, given) in shapes.items():
        weights[f"{name}.weight"] = torch.randn(made, given, 3, 3, generator=noise) / (9 * given) ** 0.5
        weights[f"{name}.bias"] = torch.zeros(made)
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(weights, file)


def peak_on_the_cpu(model: Any, side: int) -> int:
    """Return the peak of torch's own count of allocated bytes while a tile goes through a model."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    tile = torch.zeros(1, 3, side, side)
    with torch.no_grad(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        model(tile)
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    live = peak = tile.nbytes
    for event in sorted(events, key=lambda event: event.start_ns()):
        live += event.nbytes()
        peak = max(peak, live)
    return peak
