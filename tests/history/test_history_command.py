"""`python -m intelligence history`, and what a choice makes of pictures that were read."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from intelligence.__main__ import main
from intelligence.generation.planner import Planner
from intelligence.history import PictureHistory
from intelligence.learning import LearningEngine
from intelligence.lora.lora_library import INDEX_FILE
from intelligence.models import Architecture, ModelEvidence, ModelKind, ModelMetadata
from intelligence.registry import ModelRegistry
from tests.benchmarks.history import texts, write

pytestmark = pytest.mark.unit

SDXL = ModelEvidence("base", architecture=Architecture.SDXL)
PROMPT = "an old lighthouse keeper, oilskin coat, storm lantern, brass telescope"


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("INTELLIGENT_GENERATION_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Six pictures of the same kind, made with a LoRA whose name says nothing."""
    folder = tmp_path / "output"
    folder.mkdir()
    for number in range(6):
        prompt = f"{PROMPT}, {('rain', 'fog', 'dawn', 'dusk', 'wind', 'snow')[number]}"
        found = texts("a1111", prompt, [("qx7_final", 0.65)], number, random.Random(0))
        write(folder / f"{number}.png", found, 1.7e9 + 9000 * number)
    return folder


def command(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> dict[str, object]:
    assert main(["history", *arguments, "--json"]) == status
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


def test_history_command(home: Path, output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(capsys)["on"] is False
    assert "history on" in str(command(capsys, "read", status=1)["error"])
    assert command(capsys, "on", str(output))["told"] == 6
    assert command(capsys, "used")["unknown_loras"] == {"qx7_final": 6}
    assert command(capsys, "forget", "--prompt", f"{PROMPT}, fog")["told"] == 5
    (home / INDEX_FILE).write_bytes(b"words of prompts")
    assert command(capsys, "forget")["told"] == 0
    assert not (home / INDEX_FILE).exists()
    assert command(capsys, "off")["on"] is False
    assert len(list(output.iterdir())) == 6


def test_history_without_prompts_where_none_are_kept(
    home: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    LearningEngine().keep_prompts = False
    assert command(capsys, "on", str(output))["told"] == 6
    assert all(picture.prompt == "" for picture in PictureHistory(home / "history.db").pictures())


def test_own_pictures_make_an_unnamed_lora_known(home: Path, output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    registry = ModelRegistry(home / "registry.db")
    for name in ("qx7_final", "zz9"):
        registry.register_model(
            ModelMetadata(
                f"lora:{name}.safetensors",
                name,
                ModelKind.LORA,
                f"/x/{name}.safetensors",
                architecture=SDXL.architecture,
            )
        )
    planner = Planner(registry, LearningEngine(home / "learning.db"))
    analysis = planner.analyze(f"{PROMPT}, at night")
    assert planner.recommender().rank(analysis, SDXL) == []
    command(capsys, "on", str(output))
    (chosen,) = planner.recommender().rank(analysis, SDXL)
    assert (chosen.lora_name, chosen.suggested_alpha) == ("qx7_final", 0.65)
    assert "6 pictures of yours have 0.65" in chosen.reasoning
    assert chosen.lora_metadata.example_prompts == ()  # they stay on this machine
    command(capsys, "off")
    assert planner.recommender().rank(analysis, SDXL) == []
