"""Write the templates in API format: python -m tests.tools.make_api_workflows [--check]

`example_workflows/api/NAME.json` is the body's `prompt` for `POST /prompt`, made by a real server's `/object_info`.
"""

from __future__ import annotations

import argparse
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; name what would change")
    check: bool = parser.parse_args().check
    installed = locate.installation(locate.checkout())
    packs = {"intelligent-generation": locate.PACK}
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), installed, packs, checkpoints=False)
        with server.running():
            made = api_workflows(server.client.object_info())
    API_FOLDER.mkdir(exist_ok=True)
    for name, prompt in made.items():
        file = API_FOLDER / f"{name}.json"
        text = json.dumps(prompt, ensure_ascii=False, indent=2) + "\n"
        if file.exists() and json.loads(file.read_text(encoding="utf-8")) == prompt:
            continue  # the order of its keys says nothing, and follows the page that saved the template
        print(file)
        if not check:
            file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
