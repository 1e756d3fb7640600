"""The terminal at its worst: other encodings, readers that leave, full disks, Ctrl-C; schemas of the answers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from intelligence.__main__ import main
from intelligence.cli.answer_schemas import answer_schema
from intelligence.cli.arguments import parser
from intelligence.models import ModelMetadata
from intelligence.registry import ModelRegistry
from tests.test_upgrades import OLD

ROOT = Path(__file__).parents[2]
NAME = "幻想_fée_✨"
FOREIGN = (
    "a fox <lora:ink style:0.7>\nNegative prompt: blurry\nSteps: 25, Sampler: DPM++ 2M, Schedule type: Karras, "
    "CFG scale: 6.5, Seed: 7, Size: 64x96, Model: juggernaut.v9"
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with a LoRA whose name few encodings have."""
    monkeypatch.setenv("INTELLIGENT_GENERATION_HOME", str(tmp_path / "home"))
    registry = ModelRegistry()
    registry.register_model(ModelMetadata(f"lora:{NAME}.safetensors", NAME, local_path=f"/loras/{NAME}.safetensors"))
    registry.close()
    return tmp_path


def run(*arguments: str, encoding: str = "utf-8", **more: object) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "intelligence", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output="stdout" not in more, **more)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_answer_in_any_encoding(home: Path, encoding: str) -> None:
    listed = run("search", encoding=encoding)
    assert (listed.returncode, listed.stderr) == (0, b"")
    assert "?" in listed.stdout.decode(encoding)
    found = json.loads(run("search", "--json", encoding=encoding).stdout.decode(encoding))
    assert [model["name"] for model in found] == [NAME]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_full_disk_is_one_sentence(home: Path) -> None:
    with Path("/dev/full").open("w") as full:
        told = run("search", stdout=full, stderr=subprocess.PIPE)
    assert told.returncode == 1
    assert told.stderr.decode() == "error: the answer cannot be written: No space left on device\n"


@pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX")
def test_reader_that_leaves_is_no_error(home: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    told = run("show", str(OLD / "saved.png"), "--json", stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (told.returncode, told.stderr) == (141, b"")


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_interrupt_exits_with_130(home: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "intelligence", "mcp", "--http", "0"]
    heeded = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell's background job ignores it
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, preexec_fn=heeded)
    assert process.stderr is not None
    for line in process.stderr:
        if "intelligence.cli.terminal" in line:
            break
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in told


def test_interrupt_while_a_class_is_made_exits_with_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupted:
        def __set_name__(self, owner: type, name: str) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr("intelligence.__main__.answer", lambda arguments: type("Made", (), {"field": Interrupted()}))
    assert main(["generations"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_version_is_that_of_the_project(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert f'version = "{capsys.readouterr().out.strip()}"' in (ROOT / "pyproject.toml").read_text()


def foreign(path: Path) -> None:
    """Write a picture of A1111."""
    told = PngInfo()
    told.add_text("parameters", FOREIGN)
    Image.new("RGB", (64, 96)).save(path, pnginfo=told)


def test_show_foreign_picture(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    foreign(home / "x.png")
    assert main(["show", "x.png", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["prompt"], shown["negative_prompt"], shown["model"]) == ("a fox", "blurry", "juggernaut.v9")
    assert [(lora["name"], lora["strength"]) for lora in shown["loras"]] == [("ink style", 0.7)]
    assert main(["show", "x.png", "--as-workflow"]) == 0
    graph = {node["class_type"]: node["inputs"] for node in json.loads(capsys.readouterr().out).values()}
    assert graph["CheckpointLoaderSimple"]["ckpt_name"].startswith("juggernaut.v9")
    settings = graph["ParamOptimize"]
    assert (settings["steps"], settings["cfg"], settings["sampler"], settings["scheduler"]) == (
        25,
        6.5,
        "dpmpp_2m",
        "karras",
    )
    assert "ink style" in json.dumps(graph["LoRARecommend"])


def commands() -> list[str]:
    """Every command."""
    return next(list(action.choices) for action in parser()._actions if isinstance(action.choices, dict))


@pytest.mark.parametrize(
    "asked",
    [
        ["search"],
        ["show", NAME],
        ["show", str(OLD / "saved.png")],
        ["show", str(OLD / "saved.png"), "--as-workflow"],
        ["show", "foreign.png"],
        ["show", "foreign.png", "--as-workflow"],
        ["feedback", str(OLD / "saved.jpg"), "4"],
        ["generations"],
        ["learned"],
        ["history"],
        ["history", "used"],
        ["verify"],
        ["cleanup"],
        ["plan"],
        ["recommend", "a lake", "--model-family", "sdxl"],
        ["completion", "fish"],
    ],
    ids=" ".join,
)
def test_answer_is_as_its_schema_says(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, asked: list[str]
) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    monkeypatch.chdir(home)
    foreign(home / "foreign.png")
    assert main([asked[0], "--json-schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert main([*asked, "--json"]) == 0
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(capsys.readouterr().out), schema)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"x": 1},
        {"type": "Generation", "id": "a"},
        {"type": "PictureInfo", "program": 3},
        {"program": "ComfyUI"},
        {"type": "ModelMetadata", "program": "ComfyUI"},
        {"1": {"class_type": "Explain"}},
    ],
    ids=str,
)
def test_schema_of_show_refuses_other_objects(wrong: dict[str, object]) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    validator = jsonschema.Draft202012Validator(answer_schema("show"))
    assert validator.is_valid({"type": "PictureInfo", "program": "ComfyUI"})
    assert not validator.is_valid(wrong)


def test_every_command_has_a_schema(capsys: pytest.CaptureFixture[str]) -> None:
    for command in commands():
        assert main([command, "--json-schema"]) == 0
        assert json.loads(capsys.readouterr().out)["title"] == command


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize(
    ("words", "expected"),
    [(["lea"], ["learned"]), (["plan", "--arch"], ["--architecture"]), (["correct", "x", "--fav"], ["--favourite"])],
)
def test_completion_in_bash(capsys: pytest.CaptureFixture[str], words: list[str], expected: list[str]) -> None:
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    typed = " ".join(f"'{word}'" for word in ("intelligent-generation", *words))
    asked = (
        f"COMP_WORDS=({typed}); COMP_CWORD={len(words)}; _intelligent_generation; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    assert subprocess.check_output(["bash", "-c", f"{script}\n{asked}"], text=True).split() == expected
