"""Write the templates in API format: python -m tests.tools.make_api_workflows

`example_workflows/api/NAME.json` is the body's `prompt` for `POST /prompt`, made by a real server's `/object_info`.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from tests.comfyui import locate
from tests.comfyui.client import Prompt
from tests.comfyui.examples import FOLDER
from tests.comfyui.server import Server
from tests.comfyui.workflow import load

API_FOLDER = FOLDER / "api"


def api_workflows(object_info: dict[str, Any]) -> dict[str, Prompt]:
    """Return name → prompt of every template."""
    return {path.stem: load(path, object_info) for path in sorted(FOLDER.glob("*.json"))}


def main() -> None:
    installed = locate.installation(locate.checkout())
    packs = {"intelligent-generation": locate.PACK}
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), installed, packs, checkpoints=False)
        with server.running():
            made = api_workflows(server.client.object_info())
    API_FOLDER.mkdir(exist_ok=True)
    for name, prompt in made.items():
        text = json.dumps(prompt, ensure_ascii=False, indent=2)
        (API_FOLDER / f"{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
