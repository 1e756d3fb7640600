"""What the pack adds to the start of ComfyUI: seconds to import it and define its nodes.

A pack of test nodes in a server without ours imports it the way ComfyUI does, as the last thing that the process loads
before it serves; each server gives one figure, since a module is imported once.
"""

from __future__ import annotations

import statistics

from ..comfyui.locate import PACK
from .comfyui_server import serving
from .report import parser, report

PROBE = f"""
import importlib.util
import sys
import time

from comfy_api.latest import ComfyExtension, io

PACK = {str(PACK)!r}


class Startup(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(node_id="Startup", category="test", inputs=[], outputs=[], is_output_node=True)

    @classmethod
    def execute(cls):
        return io.NodeOutput(ui={{"seconds": [MEASURED[0]], "cpu": [MEASURED[1]], "modules": MEASURED[2]}})


class Extension(ComfyExtension):
    async def get_node_list(self):
        return [Startup]


async def comfy_entrypoint():
    global MEASURED
    before = set(sys.modules)
    started, cpu = time.perf_counter(), time.thread_time()
    name = PACK.replace(".", "_x_")
    spec = importlib.util.spec_from_file_location(name, PACK + "/__init__.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    extension = await module.comfy_entrypoint()
    for node in await extension.get_node_list():
        node.GET_SCHEMA()
    seconds, cpu = time.perf_counter() - started, time.thread_time() - cpu
    MEASURED = seconds, cpu, sorted(set(sys.modules) - before)
    return Extension()
"""


def measure() -> tuple[float, float, list[str]]:
    """Seconds, processor seconds, and the names of the modules that came with the pack."""
    with serving(PROBE, pack=False) as server:
        found = server.client.complete({"1": {"class_type": "Startup", "inputs": {}}}).outputs["1"]
        return found["seconds"][0], found["cpu"][0], found["modules"]


def main() -> None:
    arguments = parser(__doc__ or "")
    arguments.add_argument("--runs", type=int, default=3)
    options = arguments.parse_args()
    measured = [measure() for _ in range(options.runs)]
    own = str(PACK).replace(".", "_x_")
    foreign = [name for name in measured[0][2] if not name.startswith(own)]
    figures = {
        "import_seconds": round(statistics.median(seconds for seconds, *_ in measured), 4),
        "import_seconds_min": round(min(seconds for seconds, *_ in measured), 4),
        "import_cpu_seconds_min": round(min(cpu for _, cpu, _ in measured), 4),
        "modules_added": len(measured[0][2]),
        "foreign_modules_added": len(foreign),
        "foreign_modules": " ".join(foreign),
    }
    report(figures, options.json)


if __name__ == "__main__":
    main()
