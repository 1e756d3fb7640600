"""Programs of others that run a template in API format; `make clients` installs them in an environment of their own.

Each takes the server's address, the file of the prompt, and the id and the title of the node that saves; what it prints
last is a JSON list: the sizes in bytes of the pictures that it was handed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

CLIENTS = Path(os.environ.get("CLIENTS_PATH", Path(sys.prefix) / "clients"))
"""The Python environment, with npm's packages in `js`."""

COMFY_CLI = """
import json, pathlib, subprocess, sys
host, port = sys.argv[1].removeprefix("http://").split(":")
comfy = str(pathlib.Path(sys.executable).with_name("comfy"))
asked = ["run", "--workflow", sys.argv[2], "--host", host, "--port", port, "--wait", "--timeout", "240"]
done = subprocess.run([comfy, "--skip-prompt", "--no-enable-telemetry", *asked], capture_output=True, text=True)
assert done.returncode == 0, done.stdout + done.stderr
import urllib.request
last = json.load(urllib.request.urlopen(sys.argv[1] + "/history?max_items=1"))
images = [each for run in last.values() for each in run["outputs"][sys.argv[3]]["images"]]
view = sys.argv[1] + "/view?filename={filename}&subfolder={subfolder}&type={type}"
print(json.dumps([len(urllib.request.urlopen(view.format(**each)).read()) for each in images]))
"""

COMFY_API_SIMPLIFIED = """
import json, sys
from comfy_api_simplified import ComfyApiWrapper, ComfyWorkflowWrapper
images = ComfyApiWrapper(sys.argv[1]).queue_and_wait_images(ComfyWorkflowWrapper(sys.argv[2]), sys.argv[4])
print(json.dumps([len(data) for data in images.values()]))
"""

COMFY_SCRIPT = """
import json, os, pathlib, sys, urllib.request
from comfy_script.runtime import load
load(sys.argv[1], save_script_source=False)
from comfy_script.runtime import Workflow, node
from comfy_script.transpile import WorkflowToScriptTranspiler
script = WorkflowToScriptTranspiler(pathlib.Path(sys.argv[2]).read_text(encoding="utf-8")).to_script()
with Workflow(wait=True) as workflow:
    exec(script.replace("\\n# ", "\\n"), dict(node.nodes))
last = json.load(urllib.request.urlopen(sys.argv[1] + "/history?max_items=1"))
images = [each for run in last.values() for out in run["outputs"].values() for each in out.get("images", ())]
view = sys.argv[1] + "/view?filename={filename}&subfolder={subfolder}&type={type}"
print(json.dumps([len(urllib.request.urlopen(view.format(**each)).read()) for each in images]), flush=True)
os._exit(0)  # its thread that watches the queue goes on
"""
"""The template becomes a script, which runs. Nodes come by name: `MemoryPlan` is a link type to comfy-script too.
Output nodes that have outputs, such as SaveImage, are comments in the script.
"""

SAINTNO = """
import { readFileSync } from "node:fs";
import { CallWrapper, ComfyApi, PromptBuilder } from "@saintno/comfyui-sdk";
const [url, file, node] = process.argv.slice(1);
const prompt = new PromptBuilder(JSON.parse(readFileSync(file, "utf8")), [], ["saved"]).setOutputNode("saved", node);
const api = await new ComfyApi(url).init().waitForReady();
const done = await new CallWrapper(api, prompt).run();
const sizes = [];
for (const image of done.saved.images) {
  sizes.push((await (await fetch(api.getPathImage(image))).arrayBuffer()).byteLength);
}
console.log(JSON.stringify(sizes));
process.exit(0);
"""

STABLE_CANVAS = """
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
const require = createRequire(process.cwd() + "/");
const { Client } = require("@stable-canvas/comfyui-client");
const [url, file] = process.argv.slice(1);
const client = new Client({ api_host: url.replace("http://", ""), fetch, WebSocket: require("ws") });
await client.connect();
const done = await client.enqueue_polling(JSON.parse(readFileSync(file, "utf8")));
const sizes = [];
for (const image of done.images) sizes.push((await (await fetch(image.data)).arrayBuffer()).byteLength);
console.log(JSON.stringify(sizes));
process.exit(0);
"""

PROGRAMS = {
    "comfy-cli": ("comfy_cli", COMFY_CLI),
    "comfy-api-simplified": ("comfy_api_simplified", COMFY_API_SIMPLIFIED),
    "comfy-script": ("comfy_script", COMFY_SCRIPT),
    "@saintno/comfyui-sdk": ("", SAINTNO),
    "@stable-canvas/comfyui-client": ("", STABLE_CANVAS),
}
"""Client → the Python module that it is (npm's: none), and the program."""


class NotInstalled(Exception):
    """The clients' environment lacks this one."""


def run_client(client: str, url: str, file: Path, saver: tuple[str, str]) -> list[int]:
    """Run a prompt by a client. Returns the sizes of its pictures; raises NotInstalled, RuntimeError where it fails.

    saver: id and title of the node that saves.
    """
    module, program = PROGRAMS[client]
    command = _python(client, module, file.with_suffix(".py")) if module else _node(client, program)
    file.with_suffix(".py").write_text(program, encoding="utf-8")  # comfy-script looks for its source
    environment = {**os.environ, "no_proxy": "127.0.0.1", "DO_NOT_TRACK": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [*command, url, str(file), *saver],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
        cwd=CLIENTS / "js" if not module else file.parent,
    )
    if done.returncode:
        raise RuntimeError(f"{client}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    sizes: list[int] = json.loads(done.stdout.strip().splitlines()[-1])
    return sizes


def _python(client: str, module: str, program: Path) -> list[str]:
    python = CLIENTS / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not python.exists():
        raise NotInstalled("the clients are not installed (make clients)")
    found = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
    if subprocess.run([python, "-c", found]).returncode:
        raise NotInstalled(f"{client} is not installed (make clients)")
    return [str(python), str(program)]


def _node(client: str, program: str) -> list[str]:
    if not (CLIENTS / "js" / "node_modules" / client).is_dir():
        raise NotInstalled(f"{client} is not installed (make clients, with Node.js)")
    return ["node", "--input-type=module", "-e", program]
