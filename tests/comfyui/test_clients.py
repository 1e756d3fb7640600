"""Programs that others wrote to drive ComfyUI, and the README's curl, with our templates."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.tools.make_api_workflows import API_FOLDER, api_workflows

from .client import Client
from .client_programs import PROGRAMS, NotInstalled, run_client
from .examples import AUTO, SMALL, SUGGESTIONS
from .locate import PACK
from .server import Server
from .workflow import changed, node_id


def test_templates_in_api_format_are_those_of_the_page(client: Client) -> None:
    made = api_workflows(client.object_info())
    assert made.keys() == {path.stem for path in API_FOLDER.glob("*.json")}
    for name, prompt in made.items():
        kept = json.loads((API_FOLDER / f"{name}.json").read_text(encoding="utf-8"))
        assert kept == prompt, f"{name}: run python -m tests.tools.make_api_workflows"


def small(file: Path, name: str, seed: int) -> tuple[str, str]:
    """Write a template that samples little to `file`. Returns id and title of the node that saves."""
    prompt = json.loads((API_FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    kind = "KSampler" if name == SUGGESTIONS else "IntelligentSampler"
    prompt = changed(prompt, {"ParamOptimize": SMALL, kind: {"seed": seed}})
    file.write_text(json.dumps(prompt), encoding="utf-8")
    saver = node_id(prompt, "SaveImage" if name == SUGGESTIONS else "SaveGeneration")
    return saver, prompt[saver]["_meta"]["title"]


@pytest.mark.parametrize("name", [AUTO, SUGGESTIONS])
@pytest.mark.parametrize("program", PROGRAMS)
def test_client_runs_template(server: Server, tmp_path: Path, program: str, name: str) -> None:
    file = tmp_path / "workflow.json"
    saver = small(file, name, 71 + [*PROGRAMS].index(program))
    try:
        (size,) = run_client(program, server.url, file, saver)
    except NotInstalled as missing:
        pytest.skip(str(missing))
    assert size > 1000


def test_readme_curl_runs_as_written(server: Server, tmp_path: Path) -> None:
    """Beside a template that samples little."""
    if not (shutil.which("curl") and shutil.which("jq")):
        pytest.skip("curl or jq is not installed")
    section = (PACK / "README.md").read_text(encoding="utf-8").split("## Over ComfyUI's API")[1]
    script = section.split("```sh\n")[1].split("```")[0]
    server_line = "server=http://127.0.0.1:8188\n"
    assert script.startswith(server_line)
    (tmp_path / "example_workflows" / "api").mkdir(parents=True)
    small(tmp_path / "example_workflows" / "api" / f"{AUTO}.json", AUTO, 70)
    script = script.replace(server_line, f"export no_proxy=127.0.0.1\nserver={server.url}\n")
    done = subprocess.run(["sh", "-eu", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    told, rated = done.stdout.strip().split("\n", 1)
    assert "2 steps" in told
    generation = json.loads(rated)["generation_id"]
    stored = server.client.get(f"/intelligent_generation/generations/{generation}")
    assert stored["plan"]["recommendations"]["prompt_analysis"]["prompt"] == "a red fox"
    assert [each["rating"] for each in stored["ratings"]] == [5]
