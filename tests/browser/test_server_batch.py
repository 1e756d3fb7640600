"""*Make on servers*, as a person runs the command, with this server in its own configuration."""

from __future__ import annotations

from ..comfyui.server import Server
from .page import Page
from .test_nodes_page import load

COMMAND = "() => app.extensionManager.command.execute('IntelligentGeneration.MakeOnServers')"
TOASTS = "() => [...document.querySelectorAll('.p-toast-detail')].map(each => each.textContent)"
PROMPT = "anime girl with magical powers, made by the command"


def told(page: Page) -> list[str]:
    """Run the command; return what it tells until it has ended."""
    found: list[str] = page.tab.evaluate(f"async () => {{ await ({COMMAND})(); return ({TOASTS})() }}")
    return found


def test_command_makes_pictures_on_servers(page: Page, server: Server) -> None:
    load(page, PromptAnalyze={"prompt": PROMPT}, ParamOptimize={"images": 2, "steps": 2, "width": 64, "height": 64})
    with server.configured(comfyui_servers=[server.url]):
        texts = told(page)
    assert any("2 of 2 pictures are made" in text for text in texts), texts
    made = server.client.get("/intelligent_generation/generations?limit=500")
    assert sum(PROMPT in one["prompt"] for one in made) >= 2
    assert any("no server is configured" in text for text in told(page))
