"""How long agents wait for an answer: python -m tests.benchmarks.agents --json

A library of 7,000 invented LoRAs, asked by the MCP SDK's own client: over stdio (`_ms`, `_slowest_ms`: the
wall's milliseconds of the median of twenty calls, and of the slowest, a tool's first among them), and inside one
process (`_processor_ms`: the processor's, client and server together, which a busy machine does not change).
"""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from intelligence.agents.agent_tools import AgentTools
from intelligence.agents.mcp_server import mcp_server
from intelligence.registry import ModelRegistry
from tests.benchmarks.report import parser, report
from tests.benchmarks.retrieval import EVERYDAY, made

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "tests" / "fixtures" / "v0.1.0" / "saved.png"


async def over_stdio(home: Path, calls: int) -> dict[str, float]:
    """Return the wall's figures of each tool."""
    from mcp import Client, StdioServerParameters, stdio_client

    environment = {**os.environ, "INTELLIGENT_GENERATION_HOME": str(home)}
    command = StdioServerParameters(
        command=sys.executable, args=["-m", "intelligence", "mcp"], env=environment, cwd=ROOT
    )
    figures: dict[str, float] = {}
    start = time.perf_counter()
    async with Client(stdio_client(command)) as client:
        await client.list_tools()
        figures["start_seconds"] = time.perf_counter() - start
        figures["loras"] = (await client.call_tool("search_library", {})).structured_content["known"]
        figures["first_answer_seconds"] = time.perf_counter() - start
        for name, times in (await timed(client, calls, time.perf_counter)).items():
            figures |= {f"{name}_ms": statistics.median(times), f"{name}_slowest_ms": max(times)}
    return figures


async def inside(home: Path, calls: int) -> dict[str, float]:
    """Return the processor's figures of each tool."""
    from mcp import Client

    os.environ["INTELLIGENT_GENERATION_HOME"] = str(home)
    tools = AgentTools()
    tools.warm_up()
    async with Client(mcp_server(tools)) as client:
        found = await timed(client, calls, time.process_time)
    return {f"{name}_processor_ms": statistics.median(times) for name, times in found.items()}


async def timed(client: Any, calls: int, clock: Callable[[], float]) -> dict[str, list[float]]:
    """Return tool → milliseconds of each call."""
    rng = random.Random(1)
    models = (await client.call_tool("search_library", {"limit": 100})).structured_content
    names = [model["name"] for model in models["models"]]

    def prompt() -> str:
        return ", ".join([rng.choice(names).replace("_", " "), *rng.sample(EVERYDAY, 8)])

    asked = {
        "recommend_loras": lambda: {"prompt": prompt(), "model_family": "sdxl"},
        "recommend_settings": lambda: {"prompt": prompt(), "model_family": "sdxl"},
        "plan_memory": lambda: {"vram_gb": 8.0},
        "explain_picture": lambda: {"picture": str(PICTURE)},
        "search_library": lambda: {"text": rng.choice(names).partition("_")[0]},
        "show_model": lambda: {"name": rng.choice(names)},
        "recent_generations": dict,
    }
    times: dict[str, list[float]] = {name: [] for name in asked}
    for name, arguments in asked.items():
        for _ in range(calls):
            given = arguments()
            begun = clock()
            answer = await client.call_tool(name, given)
            times[name].append((clock() - begun) * 1000)
            assert not answer.is_error, answer
    return times


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--loras", type=int, default=7000)
    options.add_argument("--calls", type=int, default=20)
    given = options.parse_args()
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        registry = ModelRegistry(Path(folder) / "registry.db")
        for number in range(given.loras):
            registry.register_model(made(number, rng))
        registry.close()
        figures = asyncio.run(over_stdio(Path(folder), given.calls))
        report(figures | asyncio.run(inside(Path(folder), given.calls)), given.json)


if __name__ == "__main__":
    main()
