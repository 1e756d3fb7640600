"""Every example workflow, queued over the API: image, metadata, history, stored generation."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from intelligence import Generation
from intelligence.generation.picture_graph import picture_graph
from intelligence.generation.picture_history import picture_of, picture_record

from .client import Client, Run
from .examples import AUTO, SMALL, SUGGESTIONS, example, kinds
from .server import Server
from .workflow import CHECKPOINT_LOADER, changed, load, node_id

OLD_WORKFLOWS = sorted((Path(__file__).parents[1] / "fixtures" / "v0.1.0-first" / "workflows").glob("*.json"))
TEXT = "portrait of the mirkwood witch, (misty forest:1.2)"
NEGATIVE = "blurry, low quality"


@pytest.fixture(scope="module")
def auto(server: Server) -> tuple[dict, Run]:
    prompt = example(
        server.client,
        PromptAnalyze={"prompt": TEXT, "negative_prompt": NEGATIVE},
        ParamOptimize={"sampler": "dpmpp_2m", "scheduler": "karras"},
        IntelligentSampler={"seed": 0},
        SaveGeneration={"filename_prefix": "tests/auto"},
    )
    run = server.client.complete(prompt, {"extra_pnginfo": {"workflow": {"id": "a-workflow"}}})
    return prompt, run


def output(auto: tuple[dict, Run], kind: str) -> dict:
    prompt, run = auto
    return run.outputs[node_id(prompt, kind)]


@pytest.fixture(scope="module")
def saved(server: Server, auto: tuple[dict, Run]) -> Path:
    image = output(auto, "SaveGeneration")["images"][0]
    return server.base / "output" / image["subfolder"] / image["filename"]


def test_pack_loads_without_import_error(server: Server) -> None:
    assert "IMPORT FAILED" not in server.log()


def test_auto_example_runs_all_eight_nodes(auto: tuple[dict, Run]) -> None:
    prompt, run = auto
    assert len(prompt) == 11
    assert set(run.executed) | run.cached == set(prompt)
    assert kinds(prompt, run.executed) >= {"IntelligentSampler", "Explain", "Feedback", "SaveGeneration"}


def test_saved_image_has_planned_size(client: Client, auto: tuple[dict, Run]) -> None:
    image = Image.open(io.BytesIO(client.view(output(auto, "SaveGeneration")["images"][0])))
    assert image.size == (SMALL["width"], SMALL["height"])
    assert len(image.getcolors(2**16) or [0] * 2) > 100


def test_history_holds_explanation(auto: tuple[dict, Run]) -> None:
    (text,) = output(auto, "Explain")["text"]
    assert "mirkwood_witch" in text
    assert "2 steps" in text
    assert output(auto, "Explain")["explanation"][0]["lora_reasoning"]["mirkwood_witch"]


def test_history_holds_plan_and_ids_as_json(auto: tuple[dict, Run], saved: Path) -> None:
    record = json.loads(saved.with_suffix(".json").read_text(encoding="utf-8"))
    (plan,) = output(auto, "MemoryPlan")["plan"]
    assert {name: plan[name] for name in record["plan"]["memory"]} == record["plan"]["memory"]
    assert output(auto, "PromptAnalyze")["analysis"][0]["prompt"] == TEXT
    assert output(auto, "SaveGeneration")["generation_id"] == [record["id"]] == output(auto, "Explain")["generation_id"]
    assert output(auto, "SaveGeneration")["image_ids"] == output(auto, "Feedback")["feedback"][0]["image_ids"]


def test_graph_made_of_a_picture_makes_it_again(client: Client, saved: Path) -> None:
    """`show FILE --as-workflow` prints this graph."""
    graph = picture_graph(picture_of(saved, picture_record(saved)))
    run = client.complete(graph)
    again = client.view(run.outputs[node_id(graph, "SaveGeneration")]["images"][0])
    assert Image.open(io.BytesIO(again)).tobytes() == Image.open(saved).tobytes()


@pytest.mark.parametrize("path", OLD_WORKFLOWS, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_template_of_an_earlier_state_runs(client: Client, path: Path) -> None:
    prompt = changed(load(path, client.object_info()), {"ParamOptimize": SMALL})
    prompt[node_id(prompt, CHECKPOINT_LOADER)] = {"class_type": "EmbeddedDemoModel", "inputs": {}}
    assert client.complete(prompt).status == "success"


def test_png_holds_graph_and_generation(auto: tuple[dict, Run], saved: Path) -> None:
    prompt, _ = auto
    entries = Image.open(saved).text
    graph = json.loads(entries["prompt"])
    for node in graph.values():
        node.pop("is_changed", None)  # ComfyUI's own note of a node's fingerprint
    assert graph == prompt
    assert json.loads(entries["workflow"]) == {"id": "a-workflow"}
    own = json.loads(entries["intelligent_generation"])
    assert own == json.loads(saved.with_suffix(".json").read_text(encoding="utf-8"))
    generation = Generation.from_dict(own)
    assert generation.plan.recommendations.prompt_analysis.prompt == TEXT
    assert [lora.lora_name for lora in generation.plan.loras] == ["mirkwood_witch"]
    assert "models" not in json.dumps(own["plan"]["recommendations"]["suggested_loras"])


def test_png_holds_a1111_parameters(saved: Path) -> None:
    prompt, negative, settings = Image.open(saved).text["parameters"].split("\n")
    assert prompt.startswith(TEXT)
    (lora,) = json.loads(saved.with_suffix(".json").read_text())["plan"]["recommendations"]["suggested_loras"]
    assert prompt.endswith(f"<lora:mirkwood_witch:{lora['suggested_alpha']:g}>")
    assert negative.startswith(f"Negative prompt: {NEGATIVE}")
    assert settings.startswith("Steps: 2, Sampler: ")
    assert "Seed: 0, Size: 128x128" in settings


def test_exiftool_reads_saved_png(saved: Path) -> None:
    if shutil.which("exiftool") is None:
        pytest.skip("exiftool is not installed (Debian: libimage-exiftool-perl)")
    entries = json.loads(subprocess.check_output(["exiftool", "-json", str(saved)], text=True))[0]
    generation = Generation.from_dict(json.loads(entries["Intelligent_generation"]))
    parameters = generation.plan.parameters
    for part in (
        TEXT,
        f"Negative prompt: {NEGATIVE}",
        "Seed: 0",
        "Steps: 2",
        f"CFG scale: {parameters.guidance_scale:g}",
        "Sampler: ",
        "Size: 128x128",
    ):
        assert part in entries["Parameters"]
    assert entries["DigitalSourceType"].endswith("trainedAlgorithmicMedia")


def test_sd_parsers_reads_saved_png(auto: tuple[dict, Run], saved: Path) -> None:
    sd_parsers = pytest.importorskip("sd_parsers", reason="sd-parsers is not installed (the test extra)")
    own = Generation.from_dict(json.loads(saved.with_suffix(".json").read_text(encoding="utf-8")))
    info = sd_parsers.ParserManager().parse(saved)
    assert info is not None
    assert info.full_prompt.startswith(own.plan.recommendations.prompt)
    assert info.full_negative_prompt == own.plan.recommendations.negative_prompt
    (sampler,) = info.samplers
    assert (sampler.name, sampler.parameters["scheduler"]) == ("DPM++ 2M", "Karras")
    assert (sampler.parameters["steps"], sampler.parameters["seed"]) == ("2", "0")
    assert float(sampler.parameters["cfg_scale"]) == own.plan.parameters.guidance_scale
    assert info.metadata["Size"] == "128x128"


def test_generation_is_stored_under_image_id(client: Client, auto: tuple[dict, Run]) -> None:
    feedback = output(auto, "Feedback")["feedback"][0]
    stored = client.get(f"/intelligent_generation/generations/{feedback['image_ids'][0]}")
    assert stored["id"] == feedback["generation_id"]
    assert stored["run_id"] == auto[1].prompt_id
    assert stored["ratings"] == []


def test_suggestions_example_samples_with_core_nodes(client: Client) -> None:
    prompt = example(client, SUGGESTIONS, PromptAnalyze={"prompt": TEXT}, KSampler={"seed": 3})
    run = client.complete(prompt)
    (image,) = run.outputs[node_id(prompt, "SaveImage")]["images"]
    assert Image.open(io.BytesIO(client.view(image))).size == (128, 128)
    assert "mirkwood_witch" in run.outputs[node_id(prompt, "LoRARecommend")]["text"][0]


@pytest.mark.parametrize("format", ["webp", "jpg"])
def test_webp_and_jpg_keep_a1111_parameters(server: Server, format: str) -> None:
    prompt = example(
        server.client,
        PromptAnalyze={"prompt": TEXT, "negative_prompt": NEGATIVE},
        IntelligentSampler={"seed": 0},
        SaveGeneration={"filename_prefix": "tests/other", "format": format},
    )
    run = server.client.run(prompt)
    (entry,) = run.outputs[node_id(prompt, "SaveGeneration")]["images"]
    with Image.open(server.base / "output" / entry["subfolder"] / entry["filename"]) as image:
        comment = image.getexif().get_ifd(0x8769)[0x9286]
        assert image.getexif()[0x010E].startswith("prompt:{")
    assert comment.removeprefix(b"UNICODE\0").decode("utf-16-be").startswith(TEXT)


def test_sampler_sends_previews_and_progress(client: Client) -> None:
    prompt = example(client, AUTO, IntelligentSampler={"seed": 77}, ParamOptimize={"steps": 4})
    run = client.run(prompt, {"preview_method": "latent2rgb"})
    sampler = node_id(prompt, "IntelligentSampler")
    assert run.previews >= 4
    steps = [event["value"] for event in run.progress if event["node"] == sampler and event["max"] == 4]
    assert steps == sorted(steps)
    assert steps[-1] == 4
    assert "IntelligentSampler" in kinds(prompt, run.executed)
