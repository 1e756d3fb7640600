"""Names that the pack takes from ComfyUI: each exists in the oldest and in the newest that are supported."""

from __future__ import annotations

import ast
import json
import subprocess
from pathlib import Path

import pytest

from tests.tools import import_guard

from .locate import Installation

SOURCE = """
import comfy.samplers
import comfy.model_management as management
from comfy.sd import load_lora_for_models, nothing_of_this_name
from .own import comfy_like
comfy.samplers.KSampler.SAMPLERS
management.no_such_function()
"""


def test_names_in_reads_imports_and_attributes() -> None:
    assert {*import_guard.names_in(ast.parse(SOURCE))} >= {
        "comfy.samplers.KSampler.SAMPLERS",
        "comfy.model_management.no_such_function",
        "comfy.sd.load_lora_for_models",
        "comfy.sd.nothing_of_this_name",
    }


@pytest.mark.parametrize(
    ("name", "there"), [("json.loads", True), ("json.decoder.JSONDecoder.decode", True), ("json.nothing", False)]
)
def test_is_there_imports_and_looks(name: str, there: bool) -> None:
    assert import_guard.is_there(name) is there


@pytest.mark.parametrize("version", ["installation", "old_installation"])
def test_names_exist_in_comfyui(version: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    found: Installation = request.getfixturevalue(version)
    command = [found.python, import_guard.__file__, found.path, tmp_path]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == {}
