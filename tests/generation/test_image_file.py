"""Images on disk: what is inside, what other programs read, and what happens when writing fails."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from intelligence import (
    Architecture,
    Family,
    Generation,
    GenerationPlan,
    InvalidInputError,
    LoRARecommendation,
    MemoryPlan,
    ModelEvidence,
    ModelMetadata,
    OffloadStrategy,
    OptimizedParameters,
    PromptAnalysis,
    Recommendations,
    StorageError,
)
from intelligence.generation.image_file import a1111_parameters, image_record, save_image
from intelligence.generation.run import portable

PROMPT = 'a "quoted" fox, (snow:1.2)\nsecond line'
NEGATIVE = "blurry: very, low quality"


def lora(name: str, alpha: float, **metadata: object) -> LoRARecommendation:
    return LoRARecommendation(name, ModelMetadata(f"lora:{name}.safetensors", name, **metadata), 1.0, alpha)  # type: ignore[arg-type]


def generation(**changes: object) -> Generation:
    recommendations = Recommendations(
        PromptAnalysis(PROMPT, NEGATIVE),
        [
            lora("style", 0.8, autov3="0123456789ab", local_path="/home/somebody/loras/style.safetensors"),
            lora("name with spaces", 0.5),
            lora("negative", -0.5),
        ],
        OptimizedParameters(20, 7.0, 64, 96, "dpmpp_2m", "karras", family=Family.SDXL),
        prompt=PROMPT,
        negative_prompt=NEGATIVE,
        model=ModelEvidence(
            name="models, mine.safetensors", path="/home/somebody/x.safetensors", architecture=Architecture.SDXL
        ),
    )
    plan = GenerationPlan(recommendations, MemoryPlan(OffloadStrategy.FULL_GPU, "cpu"))
    fields = {
        "id": "abc",
        "plan": portable(plan),
        "image_ids": ("abc-0", "abc-1"),
        "seeds": (0, 2**64 - 1),
        "base_model_id": "models, mine.safetensors",
    }
    return Generation(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.fixture
def image() -> Image.Image:
    return Image.effect_noise((64, 96), 50).convert("RGB")


def test_a1111_parameters() -> None:
    assert a1111_parameters(generation()) == "\n".join(
        (
            f"{PROMPT} <lora:style:0.8>",
            f"Negative prompt: {NEGATIVE}",
            "Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, Seed: 0, Size: 64x96, "
            'Model: "models, mine", Lora hashes: "style: 0123456789ab", Hashes: {"lora:style": "0123456789ab"}',
        )
    )
    assert f"Seed: {2**64 - 1}," in a1111_parameters(generation(), 1)
    assert "Denoising strength: 0.5" in a1111_parameters(generation(denoise=0.5))


def test_image_record_holds_no_local_paths() -> None:
    assert "somebody" not in json.dumps(image_record(generation()))


@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg", ".JPEG"])
def test_save_image_embeds_generation(tmp_path: Path, image: Image.Image, suffix: str) -> None:
    path = save_image(tmp_path / f"new folder/fox{suffix}", image, generation(), 1, comfy={"prompt": {"1": {}}})
    record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert (record["image_id"], record["seed"]) == ("abc-1", 2**64 - 1)
    assert Generation.from_dict(record) == generation()
    with Image.open(path) as saved:
        assert saved.size == image.size
        if suffix == ".png":
            assert saved.text["parameters"] == a1111_parameters(generation(), 1)
            assert json.loads(saved.text["prompt"]) == {"1": {}}
            assert json.loads(saved.text["intelligent_generation"]) == record
        else:
            comment = saved.getexif().get_ifd(0x8769)[0x9286]
            assert comment == b"UNICODE\0" + a1111_parameters(generation(), 1).encode("utf-16-be")
            assert saved.getexif()[0x0110] == 'prompt:{"1": {}}'
    assert sorted(file.name for file in path.parent.iterdir()) == sorted([path.name, path.with_suffix(".json").name])


def test_save_image_without_metadata(tmp_path: Path, image: Image.Image) -> None:
    path = save_image(tmp_path / "bare.png", image, generation(), comfy={"prompt": {}}, embed=False)
    assert Image.open(path).info == {}
    assert path.with_suffix(".json").exists()


def test_save_image_drops_workflow_too_large_for_jpeg(tmp_path: Path, image: Image.Image) -> None:
    path = save_image(tmp_path / "big.jpg", image, generation(), comfy={"workflow": {"x": "y" * 70_000}})
    with Image.open(path) as saved:
        assert saved.getexif().get_ifd(0x8769)[0x9286].startswith(b"UNICODE")
        assert 0x0110 not in saved.getexif()


def test_save_image_drops_text_too_long_for_jpeg(tmp_path: Path, image: Image.Image) -> None:
    long = generation()
    long.plan.recommendations.prompt = "y" * 70_000
    path = save_image(tmp_path / "long.jpg", image, long)
    assert json.loads(path.with_suffix(".json").read_text())["plan"]["recommendations"]["prompt"] == "y" * 70_000
    with Image.open(path) as saved:
        assert saved.size == image.size


def test_save_image_that_nobody_can_tell(tmp_path: Path, image: Image.Image) -> None:
    path = save_image(tmp_path / "one.png", image, generation(), None)
    record = json.loads(path.with_suffix(".json").read_text())
    assert (record["image_id"], record["image_index"], record["seed"]) == ("abc", None, None)
    assert "Seed" not in Image.open(path).text["parameters"]
    same = generation(seeds=(7, 7))
    assert image_record(same, None)["seed"] == 7


def test_save_image_is_read_by_exiftool(tmp_path: Path, image: Image.Image) -> None:
    if shutil.which("exiftool") is None:
        pytest.skip("exiftool is not installed (Debian: libimage-exiftool-perl)")
    files = [save_image(tmp_path / f"fox{suffix}", image, generation()) for suffix in (".png", ".webp", ".jpg")]
    png, *others = json.loads(subprocess.check_output(["exiftool", "-json", *map(str, files)], text=True))
    assert png["Parameters"].replace("..", "\n").startswith('a "quoted" fox, (snow:1.2)')
    for entries in others:
        assert "Steps: 20, Sampler: DPM++ 2M" in entries["UserComment"]
    assert {entries["DigitalSourceType"].rpartition("/")[2] for entries in (png, *others)} == {
        "trainedAlgorithmicMedia"
    }


@pytest.mark.parametrize("name", ["x.svg", "x", "x.png.exe"])
def test_save_image_refuses_other_formats(tmp_path: Path, image: Image.Image, name: str) -> None:
    with pytest.raises(InvalidInputError, match=r"\.png"):
        save_image(tmp_path / name, image, generation())
    assert not list(tmp_path.iterdir())


def test_save_image_into_unwritable_folder(tmp_path: Path, image: Image.Image) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        save_image(tmp_path / "file" / "x.png", image, generation())


def test_save_image_keeps_old_file_when_write_fails(
    tmp_path: Path, image: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_image(tmp_path / "fox.png", image, generation())
    before = path.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(StorageError, match="No space left"):
        save_image(path, image, generation())
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2
