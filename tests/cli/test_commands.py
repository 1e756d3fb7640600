"""`python -m intelligence`: every command, for people and as JSON."""

from __future__ import annotations

import io
import json
import os
import re
import tomllib
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
from PIL import Image

from intelligence.__main__ import main
from intelligence.cli.picture_commands import unused_name
from intelligence.generation import image_file
from intelligence.generation.embedded import ensure_embedded
from intelligence.generation.generation_messages import GenerationMessage
from intelligence.generation.run_file import Run, RunFile, RunSettings
from intelligence.hubs import CivitAI, SearchPage
from intelligence.learning import LearningEngine
from intelligence.models import ModelMetadata
from intelligence.registry import ModelRegistry
from tests.model_fixtures import model  # noqa: F401
from tests.tools.fuzz_targets import LORA
from tests.tools.told_answers import assert_is_answer

README = Path(__file__).parents[2] / "README.md"
LONG_NAME = "a" * 5000
SMALL = ["--base-model", "embedded", "--size", "64x64", "--steps", "2", "--seed", "0"]


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty data folder."""
    monkeypatch.setenv("INTELLIGENT_GENERATION_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> object:
    """Answer of a command, which is as its schema says."""
    assert main([*arguments, "--json"]) == status
    answer = json.loads(capsys.readouterr().out)
    if status == 0:
        assert_is_answer(arguments[0], answer)
    return answer


@pytest.mark.parametrize(
    ("there", "count", "name"),
    [
        ((), 1, "image.png"),
        (("image.png",), 1, "image-2.png"),
        (("image.png", "image-2.png"), 1, "image-3.png"),
        (("image.png",), 2, "image.png"),
        (("image-1.png",), 2, "image-2.png"),
    ],
)
def test_name_that_nobody_gave_replaces_no_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: tuple[str, ...], count: int, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for each in there:
        (tmp_path / each).touch()
    assert unused_name("image.png", count) == name


def test_generate_show_feedback(embedded_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "fox.png"
    (made,) = as_json(capsys, "generate", "anime girl with magical powers", *SMALL, "--out", str(out))  # type: ignore[misc]
    assert Image.open(made["path"]).size == (64, 64)
    assert out.with_suffix(".json").exists()
    assert made["metadata"]["seed"] == 0

    (newest, *_) = as_json(capsys, "generations", "--limit", "3")  # type: ignore[misc]
    assert made["id"] in newest["image_ids"]
    assert (newest["prompt"], newest["ratings"]) == ("anime girl with magical powers", [])

    rated = as_json(capsys, "feedback", made["id"], "4", "nice")
    assert rated["rating"] == 4  # type: ignore[index]
    shown = as_json(capsys, "show", made["id"])
    assert shown["ratings"][0]["comments"] == "nice"  # type: ignore[index]
    assert main(["show", made["id"]]) == 0
    text = capsys.readouterr().out
    assert "magic_effects" in text
    assert "Rated 4 of 5 nice" in text
    assert as_json(capsys, "show", str(out))["ratings"][0]["comments"] == "nice"  # type: ignore[index]
    graph = as_json(capsys, "show", str(out), "--as-workflow")
    assert graph["8"]["inputs"]["seed"] == 0  # type: ignore[index]
    assert as_json(capsys, "feedback", str(out), "4")["generation_id"] == rated["generation_id"]  # type: ignore[index]
    assert as_json(capsys, "feedback", str(out), "--remove") == {"id": made["id"], "removed": True}
    assert as_json(capsys, "feedback", made["id"], "--remove") == {"id": made["id"], "removed": False}
    assert as_json(capsys, "feedback", str(out), "4")["rating"] == 4  # type: ignore[index]
    assert as_json(capsys, "feedback", made["id"], "--pick") == {"id": made["id"], "noticed": False}
    assert main(["generations", "--limit", "1"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(newest["id"]) and line.endswith("4      anime girl with magical powers")


def test_generate_as_text(embedded_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "a lake", *SMALL, "--out", str(tmp_path / "lake.webp")]) == 0
    captured = capsys.readouterr()
    assert "lake.webp" in captured.out
    assert "Settings" in captured.out
    assert captured.err == ""


@pytest.mark.parametrize("name", ["bad.bmp", "no_suffix", ".", f"{'x' * 260}.png", "file/x.png", "/proc/x.png"])
def test_generate_refuses_destination_before_sampling(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("intelligence.cli.picture_commands._results", lambda options: pytest.fail("sampled"))
    (tmp_path / "file").write_text("")
    assert main(["generate", "a lake", "--base-model", "embedded", "--out", str(tmp_path / name)]) == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_generate_loses_no_picture_of_a_batch(
    embedded_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that vanishes under the run: each picture lies where the error says."""
    out = tmp_path / "gone" / "x.png"
    real = image_file.write_whole

    def refuse(path: Path, write: object) -> object:
        if path.parent == out.parent:
            raise OSError(28, "No space left on device")
        return real(path, write)

    monkeypatch.setattr(image_file, "write_whole", refuse)
    small = ["--base-model", "embedded", "--max-loras", "0", "--images", "2"]
    assert main(["generate", "a lake", *small, "--out", str(out)]) == 1
    places = re.findall(r"lies in (\S+\.png)", capsys.readouterr().err)
    assert len(places) == 2
    for place in places:
        assert Image.open(place).text["parameters"].startswith("a lake")
        Path(place).unlink()


def test_generate_keeps_pictures_whose_filled_names_are_no_files(
    embedded_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--base-model", "embedded", "--max-loras", "0", "--steps", "2"]
    (made,) = as_json(capsys, "generate", "a lake", *small, "--out", str(tmp_path / "%loras%.png"))  # type: ignore[misc]
    assert made["path"] == str(tmp_path / "image.png")
    (tmp_path / "2-0.png").mkdir()
    asked = ["generate", "a lake", *small, "--images", "2", "--out", str(tmp_path / "%steps%.png")]
    assert main(asked) == 1
    (kept,) = re.findall(r"lies in (\S+\.png)", capsys.readouterr().err)
    for path in (kept, tmp_path / "2-1.png"):
        assert Image.open(path).text["parameters"].startswith("a lake")
    Path(kept).unlink()


def test_generate_refuses_preview_names_before_scouting(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("intelligence.cli.picture_commands._results", lambda *_: pytest.fail("sampled"))
    asked = ["generate", "a lake", "--base-model", "embedded", "--scout", "2", "--out"]
    (tmp_path / "x-scout-2.png").mkdir()
    for name, said in (("x.png", "x-scout-2.png is a folder"), (f"{'y' * 245}.png", "has 257 bytes")):
        assert main([*asked, str(tmp_path / name)]) == 1
        assert said in capsys.readouterr().err


def test_generate_fills_name_and_keeps_quiet(
    embedded_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "%seed%_%steps%.png")
    (made,) = as_json(capsys, "generate", "a lake", *SMALL, "--out", out, "--no-metadata")  # type: ignore[misc]
    assert [path.name for path in tmp_path.iterdir() if path.suffix] == ["0_2.png"]
    assert Image.open(made["path"]).info == {}


def test_generate_scout(
    embedded_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "fox.png"
    asked = ["generate", "a lake", *SMALL, "--out", str(out), "--scout", "3"]
    monkeypatch.setattr("sys.stdin", io.StringIO("2\n"))
    (made,) = as_json(capsys, *asked)  # type: ignore[misc]
    assert made["metadata"]["seed"] == 1
    assert "picked from 3 scouted seeds" in " ".join(made["explanation"]["performance_notes"])
    assert {path.name for path in tmp_path.iterdir()} >= {"fox.png", *(f"fox-scout-{i}.png" for i in (1, 2, 3))}

    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert main(asked) == 1
    shown = capsys.readouterr()
    assert "1: " in shown.err and "(seed 2)" in shown.err and "nothing was finished" in shown.err
    assert GenerationMessage.BEST_UNKNOWN.format(tried=3) in shown.err
    assert main([*asked, "--images", "2"]) == 1


def test_generate_runs_the_samples_of_the_readme(
    embedded_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    samples = [block.partition("```")[0] for block in README.read_text().split("```toml\n")[1:]]
    for number, text in enumerate(samples):
        Path(f"run-{number}.toml").write_text(text)
        (made,) = as_json(capsys, "generate", "--config", f"run-{number}.toml")  # type: ignore[misc]
        declared = tomllib.loads(text)["run"]
        assert made["metadata"]["prompt"] == declared["prompt"]
        assert Path(made["path"]).name == declared["out"].replace("%seed%", str(made["metadata"]["seed"]))
    assert samples


def test_generate_best_of(embedded_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "fox.png"
    asked = ["generate", "a lake", *SMALL, "--out", str(out), "--best-of", "2"]
    (made,) = as_json(capsys, *asked)  # type: ignore[misc]
    assert made["metadata"]["best_of"]["seeds"] == [made["metadata"]["seed"], made["metadata"]["seed"] + 1]
    assert "best_of" in made["explanation"]["parameter_reasoning"]
    for more in (["--images", "2"], ["--scout", "2"], ["--config", str(out)]):
        assert main([*asked, *more]) == 1
    assert "--best-of" in capsys.readouterr().err


def test_recommend(embedded_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = as_json(capsys, "recommend", "anime girl with magical powers", "--base-model", "embedded")
    names = [lora["lora_name"] for lora in found["suggested_loras"]]  # type: ignore[index]
    assert "magic_effects" in names
    assert "generation.demo_library" in {reason["message"] for reason in found["reasons"]}  # type: ignore[index]
    assert found["explanation"]["summary"]  # type: ignore[index]


def test_recommend_for_named_family(embedded_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["recommend", "a lake", "--base-model", "embedded", "--model-family"]
    found = as_json(capsys, *asked, "pony")
    assert found["suggested_params"]["family"] == "pony"  # type: ignore[index]
    assert found["prompt"].startswith("score_9")  # type: ignore[index]
    assert main([*asked, "ponny"]) == 1
    assert "model_family must be one of" in capsys.readouterr().err


def test_scan_search_show(embedded_home: Path, capsys: pytest.CaptureFixture[str], home: Path) -> None:
    loras = ensure_embedded(embedded_home / "embedded").lora_folder
    assert as_json(capsys, "scan", str(loras))["added"] == 9  # type: ignore[index]
    assert as_json(capsys, "scan", str(loras))["unchanged"] == 9  # type: ignore[index]
    assert [found["name"] for found in as_json(capsys, "search", "magic")] == ["magic_effects"]  # type: ignore[union-attr]
    assert as_json(capsys, "show", "magic_effects")["kind"] == "lora"  # type: ignore[index]
    assert as_json(capsys, "verify", "--hash") == {}
    broken = home.parent / "broken"
    broken.mkdir(exist_ok=True)
    (broken / "half.safetensors").write_bytes((loras / "magic_effects.safetensors").read_bytes()[:-1])
    assert len(as_json(capsys, "scan", str(broken))["problems"]) == 1  # type: ignore[index]
    assert list(as_json(capsys, "verify")) == ["lora:half.safetensors"]  # type: ignore[arg-type]
    assert main(["search", "no such thing"]) == 0
    assert "nothing found" in capsys.readouterr().out


def test_correct_and_reset(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ModelRegistry().register_model(ModelMetadata("lora:a.safetensors", "a"))
    arguments = ["--base", "pony", "--kind", "style", "--strength", "0.7", "--clip-strength", "0.4"]
    found = as_json(capsys, "correct", "a", *arguments, "--triggers", "fern, coat", "fern, robe", "--exclude")
    assert isinstance(found, dict)
    assert [item["words"] for item in found["trigger_sets"]] == [["fern", "coat"], ["fern", "robe"]]
    assert (found["family"], found["strength"], found["strength_clip"], found["excluded"]) == ("pony", 0.7, 0.4, True)
    assert as_json(capsys, "correct", "a", "--include", "--favourite")["excluded"] is False  # type: ignore[index]
    assert main(["correct", "a", "--strength", "0.5"]) == 0
    assert "triggers: fern, coat; fern, robe" in capsys.readouterr().out
    found = as_json(capsys, "correct", "a", "--reset", "--strength", "0.9")
    assert isinstance(found, dict)
    assert (found["strength"], found["trigger_sets"], found["favourite"]) == (0.9, [], False)
    assert main(["correct", "a"]) == 1
    assert "--clip-strength" in capsys.readouterr().err


def test_learned_exports_imports_resets_and_forgets(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    learning, file = LearningEngine(), tmp_path / "ratings.json"
    for number in range(3):
        learning.record_generation(f"g{number}", [f"g{number}-0"], {}, loras=["lora:a.safetensors"])
        learning.record_feedback(f"g{number}", 5)
    learning.close()
    assert as_json(capsys, "learned", "--export", str(file))["ratings"] == 3  # type: ignore[index]
    assert as_json(capsys, "learned", "--acts", "off", "--drop")["heeds_acts"] is False  # type: ignore[index]
    assert as_json(capsys, "learned", "--forget", "g0")["generations"] == 2  # type: ignore[index]
    found = as_json(capsys, "learned", "--pause", "--reset")
    assert (found["paused"], found["ratings"], found["loras"]) == (True, 2, [])  # type: ignore[index]
    found = as_json(capsys, "learned", "--import", str(file), "--resume", "--prompts", "off")
    assert (found["paused"], found["ratings"], found["keep_prompts"]) == (False, 3, False)  # type: ignore[index]
    assert [one["count"] for one in found["loras"]] == [1]  # type: ignore[index]
    assert main(["learned"]) == 0
    assert "3 ratings" in capsys.readouterr().out


def test_updates_asks_nothing_about_an_empty_library(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("httpx2", reason="the extra hubs is not installed")
    assert as_json(capsys, "updates")["asked"] == 0  # type: ignore[index]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["correct", "nobody", "--strength", "0.5"], "nobody"),
        (["feedback", "nobody", "3"], "nobody"),
        (["feedback", "nobody", "6"], "rating"),
        (["feedback", "nobody"], "--remove"),
        (["feedback", "nobody", "5", "--remove"], "--remove"),
        (["feedback", "nobody", "--remove"], "nobody"),
        (["feedback", "nobody", "--pick"], "nobody"),
        (["feedback", "nobody", "4", "--pick"], "--pick"),
        (["learned", "--forget", "nobody"], "nobody"),
        (["learned", "--reset", "nobody"], "nobody"),
        (["learned", "--import", __file__], "not JSON"),
        (["show", "nobody"], "nobody"),
        (["show", "nobody", "--as-workflow"], "nobody"),
        (["show", __file__], "no PNG, WebP or JPEG"),
        (["show", str(README.parent / "example_workflows" / "Prompt to picture.json")], "no PNG, WebP or JPEG"),
        (["show", str(Path(__file__).parent)], "is a folder; name a picture in it"),
        (["show", "fox.png"], "there is no picture fox.png"),
        (["show", "fox.png", "--as-workflow"], "there is no picture fox.png"),
        (["show", LONG_NAME], "an id must be a text of 1 to 200 characters"),
        (["feedback", str(Path(__file__).parent), "5"], "is a folder; name a picture in it"),
        (["feedback", "fox.webp", "5"], "there is no picture fox.webp"),
        (["feedback", LONG_NAME, "5"], "an id must be a text of 1 to 200 characters"),
        (["history", "on", f"/{LONG_NAME}"], "is no folder"),
        (["scan", LONG_NAME], "is no folder"),
        (["learned", "--import", LONG_NAME], "cannot be read (File name too long)"),
        (["learned", "--import", "/no/such/file"], "/no/such/file: cannot be read (No such file or directory)"),
        (["batch", "/no/such/file", "--out", "x"], "/no/such/file: cannot be read (No such file or directory)"),
        (["recommend", "--config", f"{LONG_NAME}.toml"], "cannot be read (File name too long)"),
        (["generate", "x", "--base-model", LONG_NAME], "there is no file or folder"),
        (["generations", "--limit", "0"], "limit"),
        (["scan", "/no/such/folder"], "/no/such/folder"),
        (["generate", "", "--base-model", "embedded"], "prompt"),
        (["generate", "x", "--base-model", "embedded", "--size", "big"], "--size"),
        (["generate", "x", "--base-model", "/no/such/model.safetensors"], "/no/such/model.safetensors"),
        (["recommend", "x", "--max-loras", "-1"], "max_loras"),
        (["history", "on", ""], "empty"),
        (["plan", "--size", "99999999x1"], "width must be 64 to 8192"),
    ],
)
def test_commands_report_errors(
    embedded_home: Path, home: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    if "embedded" in arguments:
        pytest.importorskip("diffusers", reason="diffusers is not installed (the standalone extra)")
    answer = as_json(capsys, *arguments, status=1)
    assert said in answer["error"]  # type: ignore[index]
    assert main(arguments) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert len(captured.err.splitlines()) == 1


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no /dev/zero on this system")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["learned", "--import", "/dev/zero"], "/dev/zero: cannot be read (larger than 256 MB)"),
        (["batch", "/dev/zero", "--out", "x"], "/dev/zero: cannot be read (larger than 256 MB)"),
        (["recommend", "--config", "/dev/zero"], "zero is no PNG, WebP or JPEG picture"),
        (["show", "/dev/zero"], "no model named '/dev/zero'"),
        (["feedback", "/dev/zero", "5"], "'/dev/zero' was stored on this machine"),
    ],
)
def test_endless_file_is_one_sentence(
    home: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(arguments) == 1
    assert said in capsys.readouterr().err


def test_picture_beside_an_endless_file(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The JSON beside a picture is a stranger's: it may be a link to a device, or a pipe that nobody writes."""
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    try:
        (tmp_path / "a.json").symlink_to("/dev/zero")
        os.mkfifo(tmp_path / "a.png.json")
    except (OSError, AttributeError):
        pytest.skip("no links or pipes here")
    assert main(["show", str(tmp_path / "a.png")]) == 1
    assert "does not tell how it was made" in capsys.readouterr().err


def test_show_takes_the_file_of_a_model(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "loras" / "fern.safetensors"
    path.parent.mkdir()
    assert main(["scan", str(path.parent)]) == 0
    assert "no model file is in there" in capsys.readouterr().out
    path.write_bytes(LORA)
    assert main(["show", str(path)]) == 1
    assert "no PNG, WebP or JPEG" in capsys.readouterr().err
    as_json(capsys, "scan", str(path.parent))
    assert as_json(capsys, "show", str(path))["name"] == "fern"  # type: ignore[index]
    assert main(["show", "fern"]) == 0
    told = capsys.readouterr().out
    assert "tags: fern\n" in told
    assert "{" not in told


@pytest.mark.skipif(os.name == "nt", reason="Windows deletes no folder in which a process is")
def test_error_of_the_system_is_one_sentence(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The folder in which the command is called was deleted."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert main(["history", "on", "pictures"]) == 1
    assert capsys.readouterr().err == "error: No such file or directory\n"


def test_main_exits_with_2_for_unusable_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["generate", "a fox", "--steps", "many"])
    assert stopped.value.code == 2


def test_generate_without_a_prompt_says_what_to_give(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate"]) == 1
    assert capsys.readouterr().err == "error: give a prompt, or --config FILE with one\n"


def test_picture_and_its_json_are_runs_that_make_it_again(
    embedded_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_file = RunFile(base_model="embedded", run=Run("anime girl with magical powers", seed=3))
    run_file.run.settings = RunSettings(num_steps=2, width=64, height=64)
    run_file.to_file(tmp_path / "run.toml")
    first = tmp_path / "first.png"
    assert main(["generate", "--config", str(tmp_path / "run.toml"), "--seed", "5", "--out", str(first)]) == 0
    assert capsys.readouterr().err == "run.seed: 5 instead of 3\n"
    for number, config in enumerate((first, first.with_suffix(".json"))):
        out = tmp_path / f"again-{number}.png"
        assert main(["generate", "--config", str(config), "--out", str(out)]) == 0
        assert Image.open(out).tobytes() == Image.open(first).tobytes()
    other = tmp_path / "other.png"
    capsys.readouterr()
    steps: list[tuple[int, int]] = []
    monkeypatch.setattr(
        "intelligence.cli.picture_commands.progress", lambda *_: nullcontext(lambda *now: steps.append(now))
    )
    (made,) = as_json(capsys, "generate", "--config", str(first), "--steps", "3", "--out", str(other))  # type: ignore[misc]
    assert (made["metadata"]["steps"], made["metadata"]["seed"]) == (3, 5)
    assert steps[-1] == (3, 3)
    assert main(["generate", "--config", str(first), "--priority", "SPEED", "--out", str(other)]) == 1
    assert "give its prompt without the picture" in capsys.readouterr().err


def test_get_refuses_what_names_no_model(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["get", "https://example.com/model"]) == 1
    assert "names no model" in capsys.readouterr().err


def test_search_on_a_hub_shows_references(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = ModelMetadata(model_id="", name="fern", source="civitai", source_id="7:71", title="Fern", base_model="Pony")
    monkeypatch.setattr(CivitAI, "search", lambda self, text, *, limit: SearchPage((found,)))
    assert main(["search", "fern", "--hub", "civitai"]) == 0
    assert capsys.readouterr().out == "civitai:7@71  Fern  Pony\n"


def test_cleanup_of_a_repository_that_is_not_cached(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("intelligence.hubs.huggingface._scan_cache", lambda: None)
    assert main(["cleanup", "--repository", "owner/none", "--delete"]) == 1
    assert "not in its cache" in capsys.readouterr().err


def test_cleanup_only_shows_unless_told_to_delete(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert as_json(capsys, "cleanup")["dry_run"] is True  # type: ignore[index]
    assert as_json(capsys, "cleanup", "--delete")["removed"] == []  # type: ignore[index]


def test_enrich_asks_nothing_about_an_empty_library(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert as_json(capsys, "enrich")["asked"] == 0  # type: ignore[index]
    assert main(["enrich"]) == 0
    assert "0 hashes asked about" in capsys.readouterr().out


def test_generations_of_an_empty_store(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert as_json(capsys, "generations") == []
    assert main(["generations"]) == 0
    assert capsys.readouterr().out == "nothing was made yet\n"


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "generate     Make a picture from a prompt." in capsys.readouterr().out


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    names = "generate recommend plan generations show feedback learned scan search get enrich verify cleanup"
    assert set(names.split()) <= set(listed)


def test_recommend_needs_no_checkpoint_for_a_family(
    home: Path,
    tmp_path: Path,
    model: Callable[..., Path],  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The user's own library is asked, not that of the embedded model."""
    folder = model(tmp_path / "loras" / "zorbla_vex.safetensors").parent
    assert main(["recommend", "Zorbla Vex", "--model-family", "sdxl"]) == 0
    assert "intelligence scan FOLDER" in capsys.readouterr().out
    as_json(capsys, "scan", str(folder))
    answer = as_json(capsys, "recommend", "a portrait of Zorbla Vex", "--model-family", "sdxl")
    assert [lora["lora_name"] for lora in answer["suggested_loras"]] == ["zorbla_vex"]  # type: ignore[index]
    unnamed = as_json(capsys, "recommend", "a portrait of Zorbla Vex")
    assert [lora["lora_name"] for lora in unnamed["suggested_loras"]] == ["zorbla_vex"]  # type: ignore[index]
    assert unnamed["family"]["family"] == "sdxl"  # type: ignore[index]
    assert main(["recommend", "vex", "--model-family", "sdxl", "--min-confidence", "1", "--mode", "assisted"]) == 0
    assert "<lora:zorbla_vex:" in capsys.readouterr().out
    assert main(["recommend", "Zorbla Vex", "--model-family", "no such family"]) == 1
    assert "model_family must be one of" in capsys.readouterr().err
