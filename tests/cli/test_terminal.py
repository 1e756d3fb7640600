"""The terminal at its worst: other encodings, readers that leave, full disks, Ctrl-C; schemas of the answers."""

from __future__ import annotations

import json
import os
import re
import select
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
        ["show", str(OLD / "saved.png.json")],
        ["show", str(OLD / "saved.png.json"), "--as-workflow"],
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


TYPED = [
    (["lea"], "learned"),
    (["plan", "--arch"], "--architecture"),
    (["correct", "x", "--fav"], "--favourite"),
    (["generate", "--priority", "S"], "SPEED"),
    (["search", "plan", "--hub", "c"], "civitai"),
    (["history", "us"], "used"),
]
"""Words that are typed, and what the last one is completed to."""


def completion(shell: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    assert main(["completion", shell]) == 0
    script = folder / f"completion.{shell}"
    script.write_text(capsys.readouterr().out)
    return script


@pytest.mark.skipif(os.name == "nt", reason="needs a terminal of Unix")
@pytest.mark.parametrize("shell", ["bash --norc -i", "zsh -f -i"])
def test_completion_in_a_shell_without_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str], shell: str) -> None:
    """The shell is typed into, and shows what it completed; where nothing fits, the names of files."""
    script = completion(shell.split()[0], tmp_path, capsys)
    (tmp_path / "picture.png").write_bytes(b"")
    typed = [*((" ".join(words), end) for words, end in TYPED), (f"show {tmp_path}/pic", f"{tmp_path}/picture.png")]
    with Terminal(*shell.split()) as terminal:
        terminal.type(f"source {script}; echo rea''dy\n")
        terminal.read_until("ready\r")
        for text, end in typed:
            terminal.type(f"intelligent-generation {text}\t")
            terminal.read_until(end.removeprefix(text.split()[-1]))
            terminal.type("\x15")  # empties the line


COMPLETED = [
    (["generate", "--priority", ""], "SPEED BALANCED QUALITY"),
    (["completion", ""], "bash zsh fish"),
    (["show", ""], ""),
]
"""Words that are typed, and what the shell is given to list: nothing where it shall list files."""


@pytest.mark.parametrize(("words", "expected"), COMPLETED)
def test_completion_lists_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], expected: str
) -> None:
    script = completion("bash", tmp_path, capsys)
    typed = " ".join(f"'{word}'" for word in ["intelligent-generation", *words])
    asked = f"COMP_WORDS=({typed}) COMP_CWORD={len(words)}; _intelligent_generation; echo ${{COMPREPLY[*]}}"
    assert subprocess.check_output(["bash", "-c", f"source {script}; {asked}"], text=True).strip() == expected


@pytest.mark.parametrize(("words", "expected"), [*TYPED, (["completion", ""], "bash fish zsh")])
def test_completion_in_fish(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], expected: str
) -> None:
    script = completion("fish", tmp_path, capsys)
    asked = f"source {script}; complete -C 'intelligent-generation {' '.join(words)}'"
    assert subprocess.check_output(["fish", "-N", "-c", asked], text=True).split() == expected.split()


STEPS = """
import argparse, time
from intelligence.cli.terminal import progress
with progress(argparse.Namespace(json={json}), "step", "sampling") as step:
    for number in range(4):
        time.sleep(0.2)
        step(number, 4)
"""


@pytest.mark.skipif(os.name == "nt", reason="needs a terminal of Unix")
def test_progress_tells_time_left_on_a_terminal_alone() -> None:
    with Terminal(sys.executable, "-c", STEPS.format(json=False)) as terminal:
        assert re.search(r"sampling: .*3/4 \[00:0\d<00:0\d", terminal.read_until("3/4 [00:0", rest=True))
    for arguments in ({"json": True}, {"json": False}):
        piped = subprocess.run([sys.executable, "-c", STEPS.format(**arguments)], cwd=ROOT, capture_output=True)
        assert (piped.returncode, piped.stderr, piped.stdout) == (0, b"", b"")


class Terminal:
    """A program in a terminal of its own."""

    def __init__(self, *command: str) -> None:
        import pty
        import termios

        self._screen, ours = pty.openpty()
        termios.tcsetwinsize(ours, (24, 80))
        environment = {**os.environ, "TERM": "dumb", "ZDOTDIR": os.devnull, "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            command, stdin=ours, stdout=ours, stderr=ours, cwd=ROOT, env=environment, start_new_session=True
        )
        os.close(ours)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._screen)

    def type(self, text: str) -> None:
        os.write(self._screen, text.encode())

    def read_until(self, end: str, rest: bool = False) -> str:
        """Return what is shown up to `end`, with `rest` until the program ends; fails after a minute."""
        shown, deadline = "", time.monotonic() + 60
        while (rest or end not in shown) and time.monotonic() < deadline:
            if not select.select([self._screen], [], [], 0.2)[0]:
                continue
            try:
                shown += os.read(self._screen, 65536).decode(errors="replace")
            except OSError:  # the program has ended
                break
        assert end in shown
        return shown
