"""The MCP server as clients reach it: the SDK's own and fastmcp's, over stdio and over HTTP."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from intelligence.agents.agent_tools import AgentTools
from intelligence.agents.mcp_server import mcp_server
from intelligence.registry import ModelRegistry
from tests.agents.test_agent_tools import FERN, FLUX
from tests.test_upgrades import OLD

ROOT = Path(__file__).parents[2]
pytest.importorskip("mcp.server.mcpserver", reason="the MCP SDK, 2 or newer, is not installed (the extra mcp)")

READING = {
    "recommend_loras",
    "recommend_settings",
    "plan_memory",
    "explain_picture",
    "search_library",
    "show_model",
    "recent_generations",
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with two LoRAs."""
    home = tmp_path_factory.mktemp("home")
    registry = ModelRegistry(home / "registry.db")
    registry.register_model(FERN)
    registry.register_model(FLUX)
    registry.close()
    return home


def arguments(*more: str) -> list[str]:
    return ["-m", "intelligence", "mcp", *more]


def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "INTELLIGENT_GENERATION_HOME": str(home), "OMP_NUM_THREADS": "1"}


def test_sdk_client_over_stdio(home: Path) -> None:
    from mcp import Client, StdioServerParameters, stdio_client

    async def ask() -> None:
        server = StdioServerParameters(
            command=sys.executable, args=arguments("--allow", "rate"), env=environment(home), cwd=ROOT
        )
        async with Client(stdio_client(server)) as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert tools.keys() == READING | {"rate"}
            reading = {name for name, tool in tools.items() if tool.annotations and tool.annotations.read_only_hint}
            assert reading == READING
            assert all(tool.description for tool in tools.values())

            asked = {"prompt": "fern, reading a book", "model_family": "illustrious"}
            chosen = (await client.call_tool("recommend_settings", asked)).structured_content
            assert chosen is not None
            assert [lora["fit"] for lora in chosen["loras"]] == ["yes"]
            assert chosen["settings"]["steps"] and chosen["reasons"]["steps"]

            picture = str(OLD / "saved.png")
            assert not (await client.call_tool("rate", {"picture": picture, "rating": 4})).is_error
            listed = (await client.call_tool("recent_generations", {})).structured_content
            assert listed is not None and [list(one["ratings"]) for one in listed["generations"]] == [[4]]

            refused = await client.call_tool("show_model", {"name": "ferm"})
            assert refused.is_error and "similar: fern" in refused.content[0].text  # type: ignore[union-attr]
            assert (await client.call_tool("recommend_loras", {"prompt": 7})).is_error
            assert (await client.call_tool("generate", {"prompt": "x"})).is_error
            assert not (await client.call_tool("search_library", {})).is_error

    run(ask())


def run(asked: Coroutine[Any, Any, None]) -> None:
    """Run in a thread of its own: a browser test before may have left its event loop running in this one."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, asked).result()


@pytest.fixture(scope="module")
def address(home: Path) -> Iterator[str]:
    """A server over HTTP."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, *arguments("--http", str(port))]
    process = subprocess.Popen(command, cwd=ROOT, env=environment(home), stderr=subprocess.PIPE)
    try:
        for _ in range(600):
            with socket.socket() as tried:
                if tried.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.terminate()
        process.wait(30)


def test_fastmcp_client_over_http(address: str) -> None:
    fastmcp = pytest.importorskip("fastmcp", reason="fastmcp is not installed")

    async def ask() -> None:
        async with fastmcp.Client(address) as client:
            assert {tool.name for tool in await client.list_tools()} == READING
            found = await client.call_tool("search_library", {"text": "purple"})
            assert [model["name"] for model in found.data["models"]] == ["fern"]
            with pytest.raises(fastmcp.exceptions.ToolError, match="rate"):
                await client.call_tool("rate", {"picture": "x", "rating": 5})

    run(ask())


@pytest.mark.parametrize(
    "headers", [{"Host": "evil.test"}, {"Origin": "https://evil.test"}, {"Origin": "null"}], ids=str
)
def test_http_refuses_pages_of_other_origins(address: str, headers: dict[str, str]) -> None:
    body = b'{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}'
    accepted = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    request = urllib.request.Request(address, body, {**accepted, **headers})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert refused.value.code in (403, 421)


def test_no_answer_before_the_server_is_ready(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mcp import Client

    monkeypatch.setenv("INTELLIGENT_GENERATION_HOME", str(home))
    waits: list[bool] = []

    async def ask() -> None:
        async with Client(mcp_server(AgentTools(), lambda: waits.append(True))) as client:
            await client.list_tools()
            assert not waits
            await client.call_tool("search_library", {})
            assert waits

    run(ask())
