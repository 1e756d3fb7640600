"""Delays of ComfyUI's event loop while the library is scanned, listed, and chosen from: a heartbeat on a real server.

A probe pack beats every 5 ms on the loop, first while the server idles, then during a cold scan in the background, five
lists of all cards, the first choice (for the demo model, which is made for it) and a second one, and notes how late
each beat came, less the time that the loop's thread waited for a processor, where the system tells it: other programs
keep processors, too. `object_info` and `object_info_alone`: during five answers of ComfyUI's own route of that name,
with the pack and on a server without it. ComfyUI builds that answer on the loop, the nodes of all packs in turn, so
that it holds the loop by itself; the difference is the pack's.
"""

from __future__ import annotations

import time

from ..comfyui import loras
from ..comfyui.client import Client
from ..comfyui.examples import SUGGESTIONS, example
from ..comfyui.workflow import node_id
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


def queued():
    try:
        with open("/proc/thread-self/schedstat") as file:
            return int(file.read().split()[1]) / 1e9
    except OSError:
        return 0.0


async def beat():
    while True:
        before, due = queued(), time.perf_counter() + {BEAT_SECONDS}
        await asyncio.sleep({BEAT_SECONDS})
        late.append(max(0.0, time.perf_counter() - due - queued() + before))


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


def lateness(name: str, beats: list[float]) -> dict[str, float | int]:
    """Return how late the beats came, in ms, and how many came more than 50 ms late."""
    late = sorted(1000 * beat for beat in beats)
    return {
        f"{name}_beats": len(late),
        f"{name}_late_ms_max": late[-1],
        f"{name}_late_ms_p99": late[int(len(late) * 0.99)],
        f"{name}_late_ms_median": late[len(late) // 2],
        f"{name}_late_over_50_ms": sum(beat > 50 for beat in late),
    }


def during_object_info(client: Client) -> list[float]:
    """Return how late beats came while ComfyUI described its nodes five times."""
    client.get("/object_info")
    time.sleep(1)
    client.get("/probe/late")
    for _ in range(5):
        client.get("/object_info")
    found: list[float] = client.get("/probe/late")
    return found


def main() -> None:
    arguments = parser(__doc__ or "")
    arguments.add_argument("--count", type=int, default=10_000)
    options = arguments.parse_args()
    with serving(PROBE, pack=False, checkpoints=False) as server:
        alone = during_object_info(server.client)
    with serving(PROBE, checkpoints=False) as server:
        client = server.client
        time.sleep(3)
        client.get("/probe/late")
        time.sleep(5)
        idle = client.get("/probe/late")
        described = during_object_info(client)
        loras.write_library(server.base / "models" / "loras", options.count)
        client.get("/probe/late")
        started = time.perf_counter()
        client.post("/intelligent_generation/library/rescan")
        while client.get("/intelligent_generation/library")["scanning"]:
            time.sleep(0.25)
        seconds = time.perf_counter() - started
        scanning = client.get("/probe/late")
        listed = client.get("/intelligent_generation/library")["counts"]["lora"]
        client.get("/probe/late")
        for _ in range(5):
            client.get("/intelligent_generation/library/cards")
        cards = client.get("/probe/late")
        choices = []
        for text in ("a lighthouse by the sea", "a fox in the snow"):
            prompt = example(client, SUGGESTIONS, PromptAnalyze={"prompt": text})
            client.get("/probe/late")
            client.complete(prompt, targets=[node_id(prompt, "LoRARecommend")])
            choices.append(client.get("/probe/late"))
    figures: dict[str, float | int | str | bool | None] = {"loras": listed, "scan_seconds": seconds}
    figures |= lateness("object_info", described) | lateness("object_info_alone", alone)
    figures |= lateness("idle", idle) | lateness("scan", scanning) | lateness("cards", cards)
    figures |= lateness("first_choice", choices[0]) | lateness("choice", choices[1])
    report(figures, options.json)


if __name__ == "__main__":
    main()
