"""Hundreds of files as trainers write them, scanned into a registry: how many are read as another network, or none."""

from __future__ import annotations

import json
import struct
import tempfile
import time
from math import prod
from pathlib import Path

from intelligence.models import ModelKind
from intelligence.models.kinds import ARCHITECTURE_TITLES
from intelligence.registry import ModelRegistry
from tests.benchmarks.report import parser, report
from tests.models.published_files import FORMATS, PUBLISHED, Shapes, checkpoint, lora, packed


def write(path: Path, shapes: Shapes, declared: str) -> None:
    """A safetensors file with these tensors, and no bytes behind them on the disk."""
    head: dict[str, object] = {"__metadata__": {"modelspec.architecture": declared}} if declared else {}
    offset = 0
    for key, shape in shapes.items():
        size = 2 * prod(shape)
        head[key] = {"dtype": "F16", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    raw = json.dumps(head).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(raw)) + raw)
        file.truncate(8 + len(raw) + offset)


def write_all(root: Path) -> dict[str, str]:
    """Path below `root` → the architecture that was written."""
    expected = {}
    for name, model in PUBLISHED.items():
        files = {f"loras/{name}/{called}": lora(model, form) for called, form in FORMATS.items()}
        whole = checkpoint(model, "model.diffusion_model.")
        files |= {f"checkpoints/{name}": whole, f"checkpoints/{name}_fp8": packed(whole, "fp8")}
        for stem, shapes in files.items():
            if shapes:
                write(root / f"{stem}.safetensors", dict(sorted(shapes.items())), model.declared)
                expected[f"{stem}.safetensors"] = model.architecture
    return expected


def main() -> None:
    args = parser(__doc__ or "").parse_args()
    wrong, unsure = [], 0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        expected = write_all(root)
        registry = ModelRegistry(root / "registry.db")
        started = time.perf_counter()
        registry.scan({ModelKind.LORA: [root / "loras"], ModelKind.CHECKPOINT: [root / "checkpoints"]})
        seconds = time.perf_counter() - started
        for model in registry.list_models(with_problems=True):
            path = Path(model.local_path).relative_to(root).as_posix()
            title = ARCHITECTURE_TITLES[model.architecture]
            if model.architecture == expected[path]:
                continue
            named = ARCHITECTURE_TITLES[expected[path]] in model.findings["architecture"].source  # type: ignore[index]
            unsure += named
            if not named:
                wrong.append(f"{path}: {title}")
        registry.close()
    figures = {"files": len(expected), "wrong": len(wrong), "told_as_one_of_several": unsure, "scan_s": seconds}
    if wrong and not args.json:
        print("\n".join(wrong))
    report(figures, args.json)


if __name__ == "__main__":
    main()
