"""Programs that others wrote to drive ComfyUI, with our templates; `make clients` installs them on their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tools.make_api_workflows import API_FOLDER, api_workflows

from .client import Client
from .examples import AUTO, SMALL, SUGGESTIONS
from .server import Server
from .workflow import changed, node_id

CLIENTS = Path(os.environ.get("CLIENTS_PATH", Path(sys.prefix) / "clients"))
"""An environment with comfy-cli and comfy-api-simplified."""

SIMPLIFIED = """
import sys
from comfy_api_simplified import ComfyApiWrapper, ComfyWorkflowWrapper
api = ComfyApiWrapper(sys.argv[1])
images = api.queue_and_wait_images(ComfyWorkflowWrapper(sys.argv[2]), sys.argv[3])
print([len(data) for data in images.values()])
"""


def test_templates_in_api_format_are_those_of_the_page(client: Client) -> None:
    made = api_workflows(client.object_info())
    assert made.keys() == {path.stem for path in API_FOLDER.glob("*.json")}
    for name, prompt in made.items():
        kept = json.loads((API_FOLDER / f"{name}.json").read_text(encoding="utf-8"))
        assert kept == prompt, f"{name}: run python -m tests.tools.make_api_workflows"


def small(folder: Path, name: str, seed: int) -> tuple[Path, str]:
    """A template that samples little, as a file, and the title of the node that saves."""
    prompt = json.loads((API_FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    kind = "IntelligentSampler" if name == AUTO else "KSampler"
    prompt = changed(prompt, {"ParamOptimize": SMALL, kind: {"seed": seed}})
    file = folder / "workflow.json"
    file.write_text(json.dumps(prompt), encoding="utf-8")
    saver = node_id(prompt, "SaveGeneration" if name == AUTO else "SaveImage")
    return file, prompt[saver]["_meta"]["title"]


def program(name: str) -> str:
    """A program of the clients' environment."""
    path = CLIENTS / ("Scripts" if os.name == "nt" else "bin") / name
    if not path.exists():
        pytest.skip("the clients are not installed (make clients)")
    return str(path)


def ran(*command: str) -> str:
    environment = {**os.environ, "no_proxy": "127.0.0.1", "DO_NOT_TRACK": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", [AUTO, SUGGESTIONS])
def test_comfy_cli_runs_template(server: Server, tmp_path: Path, name: str) -> None:
    comfy = program("comfy")
    file, _ = small(tmp_path, name, 71)
    host, port = server.url.removeprefix("http://").split(":")
    asked = ("run", "--workflow", str(file), "--host", host, "--port", port, "--wait", "--timeout", "240")
    ran(comfy, "--skip-prompt", "--no-enable-telemetry", *asked)


@pytest.mark.parametrize("name", [AUTO, SUGGESTIONS])
def test_comfy_api_simplified_runs_template(server: Server, tmp_path: Path, name: str) -> None:
    python = program("python")
    if subprocess.run([python, "-c", "import comfy_api_simplified"], capture_output=True).returncode:
        pytest.skip("comfy-api-simplified is not installed (make clients)")
    file, title = small(tmp_path, name, 72)
    assert json.loads(ran(python, "-c", SIMPLIFIED, server.url, str(file), title).splitlines()[-1])[0] > 0
