"""Delays of ComfyUI's event loop while the library is scanned: a heartbeat on the loop of a real server.

A probe pack beats every 5 ms on the loop, first while the server idles, then during a cold scan in the background, and
notes how late each beat came.
"""

from __future__ import annotations

import time

from ..comfyui import loras
from .comfyui_server import serving
from .report import parser, report

BEAT_SECONDS = 0.005

PROBE = f"""
import asyncio
import time

from aiohttp import web
from comfy_api.latest import ComfyExtension
from server import PromptServer

late = []


async def beat():
    while True:
        due = time.perf_counter() + {BEAT_SECONDS}
        await asyncio.sleep({BEAT_SECONDS})
        late.append(time.perf_counter() - due)


async def start(app):
    app["beat"] = asyncio.create_task(beat())


PromptServer.instance.app.on_startup.append(start)


@PromptServer.instance.routes.get("/probe/late")
async def read(request):
    found = list(late)
    late.clear()
    return web.json_response(found)


class Extension(ComfyExtension):
    async def get_node_list(self):
        return []


def comfy_entrypoint():
    return Extension()
"""


def main() -> None:
    arguments = parser(__doc__ or "")
    arguments.add_argument("--count", type=int, default=10_000)
    options = arguments.parse_args()
    with serving(PROBE) as server:
        client = server.client
        time.sleep(3)
        client.get("/probe/late")
        time.sleep(5)
        idle = client.get("/probe/late")
        loras.write_library(server.base / "models" / "loras", options.count)
        client.get("/probe/late")
        started = time.perf_counter()
        client.post("/intelligent_generation/library/rescan")
        while client.get("/intelligent_generation/library")["scanning"]:
            time.sleep(0.25)
        seconds = time.perf_counter() - started
        scanning = client.get("/probe/late")
        listed = client.get("/intelligent_generation/library")["counts"]["lora"]
    figures = {
        "loras": listed,
        "scan_seconds": seconds,
        **{
            f"{name}_late_ms_{what}": 1000 * value
            for name, beats in (("idle", idle), ("scan", scanning))
            for what, value in (
                ("max", max(beats)),
                ("p99", sorted(beats)[int(len(beats) * 0.99)]),
                ("median", sorted(beats)[len(beats) // 2]),
            )
        },
        "beats": len(scanning),
    }
    report(figures, options.json)


if __name__ == "__main__":
    main()
