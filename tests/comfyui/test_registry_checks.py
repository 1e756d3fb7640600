"""Checks that others run on packs: the Comfy Registry's, and what of comfy-test needs no build of its own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from .client_programs import CLIENTS
from .locate import PACK
from .server import Server

CONFIG = '[test]\nlevels = ["install", "registration"]\n'


def program(name: str) -> str:
    path = CLIENTS / ("Scripts" if os.name == "nt" else "bin") / name
    if not path.exists():
        pytest.skip(f"{name} is not installed (make clients)")
    return str(path)


def ran(command: list[str], **more: str) -> str:
    """Return what the program said; it must succeed."""
    environment = {**os.environ, "no_proxy": "127.0.0.1", "DO_NOT_TRACK": "1", **more}
    done = subprocess.run(
        command, cwd=PACK, capture_output=True, text=True, timeout=300, env=environment, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout + done.stderr


def test_comfy_node_validate_passes() -> None:
    said = ran([program("comfy"), "--skip-prompt", "--no-enable-telemetry", "node", "validate"])
    assert "passed" in said


def test_comfy_test_registers_nodes(server: Server, tmp_path: Path) -> None:
    """Its other levels do not fit, or build a ComfyUI of their own.

    `syntax` takes no letter outside Windows' code page, which word lists need, `coverage` finds no nodes of the new
    API, `validation` misplaces their widgets and takes no note, and what `warnings` and `hazards` list fails nothing.
    `javascript` refuses nine places, none of which reaches another pack: two style sheets, whose rules need classes or
    nodes of ours (`test_styles_reach_our_elements_alone`); a strip that goes by itself; the field that copies text; a
    listener for dropped files that only reads, and one for the keys 1 to 5, heeded over our pictures alone; and the
    output of our own sampler, whose pictures our view shows in place of ComfyUI's grid.
    """
    config = tmp_path / "comfy-test.toml"
    config.write_text(CONFIG)
    folders = {"COMFY_TEST_LOGS_DIR": str(tmp_path / "logs"), "COMFY_TEST_WORKSPACE_DIR": str(tmp_path / "work")}
    said = ran([program("comfy-test"), "run", "--server-url", server.url, "--config", str(config)], **folders)
    assert "[REGISTRATION] PASSED" in said
