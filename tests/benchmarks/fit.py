"""LoRAs of every kind against networks of ComfyUI's own classes: python -m tests.benchmarks.fit --json

Each LoRA is measured against each model, and loaded and calculated by ComfyUI itself, on the meta device.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.report import parser, report
from tests.comfyui import locate
from tests.comfyui.lora_patterns import PATTERNS, is_own, write_all

PROGRAM = Path(locate.__file__).with_name("fit_program.py")


def main() -> None:
    arguments = parser("Fit of LoRAs to models")
    arguments.add_argument("--models", default="", help="of the networks only these, by commas")
    options = arguments.parse_args()
    installation = locate.installation(locate.checkout())
    with tempfile.TemporaryDirectory() as folder:
        loras, home = Path(folder, "loras"), Path(folder, "home")
        write_all(loras)
        chosen = [f"--models={options.models}"] if options.models else []
        command = [installation.python, PROGRAM, installation.path, loras, home, "--load", *chosen]
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr[-3000:])
    models = json.loads(done.stdout.splitlines()[-1])["models"]
    pairs = [(model, name, found) for model, row in models.items() for name, found in row["loras"].items()]
    own = [is_own(name, model) for model, name, _ in pairs]
    report(
        {
            "models": len(models),
            "loras": len(PATTERNS),
            "pairs": len(pairs),
            "wrong_auto": sum((found["auto"] is None) != same for (*_, found), same in zip(pairs, own, strict=True)),
            "wrong_named": sum((found["named"] is None) != (found["loaded"] > 0) for *_, found in pairs),
            "other_than_comfyui": sum(found["comfyui"] != found["loaded"] for *_, found in pairs),
            "model_ms_median": 1000 * statistics.median(row["seconds_targets"] for row in models.values()),
            "model_ms_max": 1000 * max(row["seconds_targets"] for row in models.values()),
            "lora_ms_first_model": next(iter(models.values()))["ms_per_lora_first"],
            "lora_ms_median": statistics.median(row["ms_per_lora_first"] for row in models.values()),
            "lora_cpu_ms_median": statistics.median(row["cpu_ms_per_lora_first"] for row in models.values()),
            "lora_cpu_ms_max": max(row["cpu_ms_per_lora_first"] for row in [*models.values()][1:]),
            "lora_ms_again": statistics.median(row["ms_per_lora_again"] for row in models.values()),
        },
        options.json,
    )


if __name__ == "__main__":
    main()
