"""How fast a library of LoRAs is scanned, listed and searched: python -m tests.benchmarks.registry_scan --count 2000"""

from __future__ import annotations

import json
import os
import random
import resource
import statistics
import struct
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from intelligence.registry import ModelRegistry
from tests.benchmarks.report import parser, report

WORDS = [
    a + b for a in ("sun", "moon", "iron", "neon", "silk", "frost", "star", "ink") for b in ("blade", "girl", "city")
]


def write_lora(path: Path, rng: random.Random) -> None:
    """A kohya SDXL LoRA with one-element payload scale and a header of 20–60 KB: tensors and training tags."""
    tensors: dict[str, Any] = {}
    offset = 0
    for block in range(rng.randint(5, 12)):
        for layer in range(5):
            base = f"lora_unet_input_blocks_{block}_1_transformer_blocks_{layer}_attn2_to_k"
            for name, shape in ((".alpha", []), (".lora_down.weight", [1, 2048]), (".lora_up.weight", [1, 1])):
                size = 2
                for side in shape:
                    size *= side
                tensors[base + name] = {"dtype": "F16", "shape": shape, "data_offsets": [offset, offset + size]}
                offset += size
    tags = {
        f"{rng.choice(WORDS)} {rng.choice(WORDS)} {number}": rng.randint(1, 90)
        for number in range(rng.randint(350, 1000))
    }
    trigger = rng.choice(WORDS)
    tensors["__metadata__"] = {
        "modelspec.architecture": "stable-diffusion-xl-v1-base/lora",
        "modelspec.title": path.stem,
        "ss_base_model_version": "sdxl_base_v1-0",
        "ss_sd_model_name": rng.choice(["ponyDiffusionV6XL.safetensors", "sd_xl_base_1.0.safetensors"]),
        "ss_network_dim": "16",
        "ss_network_alpha": "8",
        "ss_tag_frequency": json.dumps({f"10_{trigger}": {trigger: 100, **tags}}),
    }
    header = json.dumps(tensors).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + offset)


def write_sidecar(path: Path, rng: random.Random) -> None:
    """A CivitAI record with ten example images."""
    images = [
        {"meta": {"prompt": ", ".join(rng.choices(WORDS, k=30)) + f" <lora:x:0.{rng.randint(5, 9)}>"}}
        for _ in range(10)
    ]
    record = {
        "id": rng.randint(1, 10**6),
        "modelId": rng.randint(1, 10**6),
        "baseModel": rng.choice(["SDXL 1.0", "Pony", "Illustrious"]),
        "trainedWords": [", ".join(rng.choices(WORDS, k=3)) for _ in range(3)],
        "description": "<p>" + " ".join(rng.choices(WORDS, k=200)) + " strength 0.6-0.8</p>",
        "model": {"name": path.stem, "type": "LORA", "tags": rng.choices(WORDS, k=6)},
        "files": [{"hashes": {"SHA256": f"{rng.getrandbits(256):064x}"}}],
        "images": images,
    }
    path.with_suffix(".civitai.info").write_text(json.dumps(record))


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--count", type=int, default=2000)
    args = options.parse_args()
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "loras")
        paths = [
            root / f"set{number % 20}" / f"{rng.choice(WORDS)}_{number}.safetensors" for number in range(args.count)
        ]
        for number, path in enumerate(paths):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_lora(path, rng)
            if number % 2:
                write_sidecar(path, rng)
        database = Path(folder, "registry.db")
        ModelRegistry(database).revision  # noqa: B018  what every run imports is not the scan's memory
        before = _rss_mb()
        registry = ModelRegistry(database)
        figures: dict[str, float] = {"count": args.count}
        cpu = _cpu_seconds()
        figures["cold_scan_s"] = _seconds(lambda: registry.scan([root]))
        figures["cold_scan_cpu_s"] = _cpu_seconds() - cpu
        figures["cold_rss_added_mb"] = _rss_mb() - before
        figures["reader_mb"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        registry.close()
        registry = ModelRegistry(database)
        cpu = _cpu_seconds()
        figures["warm_scan_s"] = _seconds(lambda: registry.scan([root]))
        figures["list_s"] = _seconds(registry.summaries)
        figures["ready_s"] = figures["warm_scan_s"] + figures["list_s"]
        figures["ready_cpu_s"] = _cpu_seconds() - cpu
        figures["list_again_ms"] = 1000 * _seconds(registry.summaries)
        os.utime(paths[0], ns=(1, 1))
        figures["one_changed_s"] = _seconds(lambda: registry.scan([root]))
        figures["search_ms"] = 1000 * statistics.median(
            _seconds(lambda word=word: registry.search(f"{word} set1")) for word in WORDS
        )
        figures["rss_added_mb"] = _rss_mb() - before
        figures["list_whole_s"] = _seconds(registry.list_models)
        figures["db_mb"] = database.stat().st_size / 1e6
        registry.close()
    report({**figures}, args.json)


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _cpu_seconds() -> float:
    """Of this process and those that it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _rss_mb() -> float:
    """Peak so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
