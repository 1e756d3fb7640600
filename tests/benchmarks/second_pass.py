"""Two passes by the pack's host against the same graph of core nodes, in ComfyUI's process: equal latents?

Six combinations of size, start and upscaler (the latent, or a tiny random ESRGAN), each with another sampler, on the
demo model; and the forward passes that were predicted and counted.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path

from ..comfyui import locate
from .report import parser, report

PROGRAM = Path(locate.__file__).with_name("second_pass_program.py")


def main() -> None:
    arguments = parser("Second pass against core nodes").parse_args()
    installed = locate.installation(locate.checkout())
    with tempfile.TemporaryDirectory() as home:
        command = [installed.python, PROGRAM, installed.path, home]
        found = json.loads(subprocess.check_output(command, text=True).splitlines()[-1])
    results = {
        "cases": len(found),
        "equal": sum(case["equal"] for case in found.values()),
        "passes_as_predicted": sum(case["predicted"] == case["computed"] for case in found.values()),
    }
    report(results, arguments.json)


if __name__ == "__main__":
    main()
