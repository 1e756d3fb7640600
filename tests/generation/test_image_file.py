"""Images on disk: what is inside, what other programs read, and what happens when writing fails."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import replace
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
from intelligence.generation.image_file import (
    Metadata,
    a1111_parameters,
    image_record,
    picture_name,
    save_image,
    save_picture,
)
from intelligence.generation.postprocess.postprocess_messages import PostprocessMessage
from intelligence.generation.postprocess.steps import PostStep, StepKind
from intelligence.generation.run import portable
from intelligence.parameters.parameters import SecondPass
from intelligence.pictures.embedded_texts import read_texts
from intelligence.pictures.picture_info import picture_info as read_picture_info
from intelligence.records import Reason, Source

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
        "base_model": ModelMetadata(
            "checkpoint:models, mine.safetensors",
            "models, mine",
            source="civitai",
            source_id="12:34",
            sha256="abcdef0123" + "4" * 54,
        ),
    }
    return Generation(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.fixture
def image() -> Image.Image:
    return Image.effect_noise((64, 96), 50).convert("RGB")


def test_a1111_parameters() -> None:
    assert a1111_parameters(generation()) == "\n".join(
        (
            f"{PROMPT} <lora:style:0.8> <lora:name with spaces:0.5> <lora:negative:-0.5>",
            f"Negative prompt: {NEGATIVE}",
            "Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, Seed: 0, Size: 64x96, "
            'Model hash: abcdef0123, Model: "models, mine", Lora hashes: "style: 0123456789ab", '
            'Hashes: {"model": "abcdef0123", "lora:style": "0123456789ab"}, '
            'Civitai resources: [{"type": "checkpoint", "modelVersionId": 34}], Note: hash not known yet',
        )
    )
    assert f"Seed: {2**64 - 1}," in a1111_parameters(generation(), 1)
    assert "Denoising strength: 0.5" in a1111_parameters(generation(denoise=0.5))


def two_passes(size: tuple[int, int], upscaler: str = "latent") -> Generation:
    plan = generation().plan
    second = SecondPass(64, 96, steps=10, denoise=0.5, upscaler=upscaler)
    settings = replace(plan.parameters, width=size[0], height=size[1], second_pass=second)
    return generation(plan=plan.with_parameters(settings))


@pytest.mark.parametrize(
    ("size", "upscaler", "told"),
    [
        ((128, 192), "latent", "Hires upscale: 2, Hires steps: 10, Hires upscaler: Latent"),
        (
            (96, 144),
            "4x-Sharp, new.pth",
            'Hires upscale: 1.5, Hires steps: 10, Hires upscaler: "4x-Sharp, new"',
        ),
        ((136, 200), "latent", "Hires upscale: 2.125, Hires resize: 136x200, Hires steps: 10, Hires upscaler: Latent"),
    ],
)
def test_a1111_parameters_tell_a_second_pass(size: tuple[int, int], upscaler: str, told: str) -> None:
    text = a1111_parameters(two_passes(size, upscaler), size=size)
    assert told in text
    assert "Size: 64x96" in text
    assert "Denoising strength: 0.5" in text
    info = read_picture_info({"parameters": text})
    assert info is not None
    assert (info.settings["width"], info.settings["height"]) == size
    assert info.settings["steps"] == 20
    assert "denoise" not in info.settings


def test_second_pass_is_read_by_exiftool_and_sd_parsers(tmp_path: Path) -> None:
    sd_parsers = pytest.importorskip("sd_parsers", reason="the extra test is not installed")
    if shutil.which("exiftool") is None:
        pytest.skip("exiftool is not installed (Debian: libimage-exiftool-perl)")
    made, picture = two_passes((128, 192)), Image.effect_noise((128, 192), 50).convert("RGB")
    reason = Reason.of("own step", Source.USER, PostprocessMessage.OWN, name="invert")
    own = (PostStep(StepKind.OWN, reason, name="invert"), PostStep(StepKind.OWN, reason, name="grain"))
    plan = replace(made.plan, memory=replace(made.plan.memory, tile_size=256)).without([StepKind.SEAM_CHECK])
    made = replace(made, plan=replace(plan, postprocess=(*plan.postprocess, *own)))
    path = save_image(tmp_path / "fox.png", picture, made)
    (entries,) = json.loads(subprocess.check_output(["exiftool", "-json", str(path)], text=True))
    fields = ("Hires upscale: 2", "Hires steps: 10", "Hires upscaler: Latent", "Denoising strength: 0.5")
    fields = (*fields, "Own steps: invert + grain")
    assert all(field in entries["Parameters"] for field in fields)
    steps = json.loads(entries["Intelligent_generation"])["plan"]["postprocess"]
    kinds = [("second_pass", True), ("repair", True), ("seam_check", False), ("own", True), ("own", True)]
    assert [(step["kind"], step["on"]) for step in steps] == kinds
    found = sd_parsers.ParserManager().parse(path)
    read = {**found.metadata, **found.samplers[0].parameters}
    names = {"Hires upscale": "2", "Hires steps": "10", "Hires upscaler": "Latent", "Denoising strength": "0.5"}
    assert {name: read.get(name) for name in names} == names
    assert read["Own steps"] == "invert + grain"


def test_image_record_holds_no_local_paths() -> None:
    assert "somebody" not in json.dumps(image_record(generation()))


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("sub/juggernaut.v9.rundiffusion.safetensors", "juggernaut.v9.rundiffusion"),
        ("stabilityai/stable-diffusion-xl-base-1.0", "stable-diffusion-xl-base-1.0"),
        ("flux1-dev-Q4_K.S.gguf", "flux1-dev-Q4_K.S"),
    ],
)
def test_a1111_parameters_keep_dots_of_model(name: str, model: str) -> None:
    assert f", Model: {model}" in a1111_parameters(generation(base_model_id=name, base_model=None))


def test_a1111_parameters_of_file_without_base_model_file() -> None:
    """A model that is no single file never gets a hash, so nobody has to wait for one."""
    plain = generation(base_model=None)
    plain.plan.recommendations.suggested_loras = plain.plan.loras[:1]
    assert "Note" not in a1111_parameters(plain)


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
            assert saved.getexif()[0x010E] == 'prompt:{"1": {}}'
            own = saved.getexif()[0x0131].removeprefix("intelligent_generation:")
            assert json.loads(own) == record
    texts = read_texts(path)
    assert texts["parameters"] == a1111_parameters(generation(), 1)
    assert (json.loads(texts["prompt"]), json.loads(texts["intelligent_generation"])) == ({"1": {}}, record)
    assert sorted(file.name for file in path.parent.iterdir()) == sorted([path.name, path.with_suffix(".json").name])


def test_save_image_without_metadata(tmp_path: Path, image: Image.Image) -> None:
    path = save_image(tmp_path / "bare.png", image, generation(), comfy={"prompt": {}}, embed=False)
    assert Image.open(path).info == {}
    assert [file.name for file in tmp_path.iterdir()] == ["bare.png"]


def test_save_picture_without_record_beside(tmp_path: Path, image: Image.Image) -> None:
    saved = save_picture(tmp_path / "x.webp", image, generation(), keep=Metadata.INSIDE)
    assert saved.record is None and [file.name for file in tmp_path.iterdir()] == ["x.webp"]
    assert "intelligent_generation" in read_texts(saved.path)


@pytest.mark.parametrize(
    ("sizes", "left"),
    [
        ({"prompt": 10, "workflow": 10}, {"prompt", "workflow", "intelligent_generation"}),
        ({"prompt": 10, "workflow": 62_000}, {"prompt", "workflow"}),
        ({"prompt": 40_000, "workflow": 40_000}, {"workflow"}),
        ({"prompt": 10, "workflow": 70_000}, set()),
        ({"prompt": 10, "workflow": 10, "other": 63_000}, {"prompt", "workflow", "intelligent_generation"}),
    ],
)
def test_save_picture_drops_least_needed_in_jpeg(
    tmp_path: Path, image: Image.Image, sizes: dict[str, int], left: set[str]
) -> None:
    comfy = {name: {"x": "y" * size} for name, size in sizes.items()}
    saved = save_picture(tmp_path / "big.jpg", image, generation(), comfy=comfy)
    texts = read_texts(saved.path)
    assert texts["parameters"] == a1111_parameters(generation())
    assert {*texts} & {"prompt", "workflow", "other", "intelligent_generation"} == left
    assert all(name in "".join(saved.notes) for name in {*sizes, "intelligent_generation"} - left)


def test_save_picture_cuts_prompt_too_long_for_jpeg(tmp_path: Path, image: Image.Image) -> None:
    long = generation()
    long.plan.recommendations.prompt = "y" * 70_000
    saved = save_picture(tmp_path / "long.jpg", image, long)
    assert saved.record is not None
    assert json.loads(saved.record.read_text())["plan"]["recommendations"]["prompt"] == "y" * 70_000
    assert "Model hash: abcdef0123" in read_texts(saved.path)["parameters"]
    assert "cut" in saved.notes[0]


def test_save_picture_states_size_of_the_file(tmp_path: Path, image: Image.Image) -> None:
    texts = read_texts(save_image(tmp_path / "x.png", image.resize((128, 32)), generation()))
    assert "Size: 128x32" in texts["parameters"]


def test_save_image_with_half_a_character(tmp_path: Path, image: Image.Image) -> None:
    odd = generation()
    odd.plan.recommendations.prompt = "a \ud83d fox"
    for suffix in (".png", ".webp"):
        assert read_texts(save_image(tmp_path / f"odd{suffix}", image, odd))["parameters"].startswith("a ? fox")


def test_record_beside_never_overwrites_another_file(tmp_path: Path, image: Image.Image) -> None:
    (tmp_path / "mine.json").write_text('{"a": 1}')
    saved = save_picture(tmp_path / "mine.png", image, generation())
    assert (tmp_path / "mine.json").read_text() == '{"a": 1}'
    assert saved.record == tmp_path / "mine.png.json"


def test_record_beside_of_pictures_with_one_stem(tmp_path: Path, image: Image.Image) -> None:
    first = save_picture(tmp_path / "a.png", image, generation(), 0)
    second = save_picture(tmp_path / "a.jpg", image, generation(), 1)
    again = save_picture(tmp_path / "a.png", image, generation(), 1)
    assert [saved.record and saved.record.name for saved in (first, second, again)] == [
        "a.json",
        "a.jpg.json",
        "a.json",
    ]
    assert json.loads((tmp_path / "a.json").read_text())["image_id"] == "abc-1"


def test_save_picture_with_long_name(tmp_path: Path, image: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTELLIGENT_GENERATION_HOME", str(tmp_path / "home"))
    saved = save_picture(tmp_path / f"{'狐' * 80}_0001.png", image, generation())
    assert saved.path.exists() and saved.record and saved.record.exists()
    with pytest.raises(InvalidInputError, match="255") as error:
        save_image(tmp_path / f"{'狐' * 90}.png", image, generation())
    kept = Path(str(error.value).rpartition("lies in ")[2])
    assert kept.parent == tmp_path / "home" / "unsaved" and kept.name.endswith("狐.png")
    assert "Steps: 20" in read_texts(kept)["parameters"]


def test_save_picture_whose_name_is_a_folder(
    tmp_path: Path, image: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTELLIGENT_GENERATION_HOME", str(tmp_path / "home"))
    (tmp_path / "x.webp").mkdir()
    with pytest.raises(InvalidInputError, match="is a folder") as error:
        save_image(tmp_path / "x.webp", image, generation())
    assert "Steps: 20" in read_texts(Path(str(error.value).rpartition("lies in ")[2]))["parameters"]


def test_picture_name_fills_every_token() -> None:
    name = picture_name("%model% %sampler% %scheduler% %steps% %cfg% %loras% %seed%.png", generation(), 0, (64, 96))
    assert name == "models, mine dpmpp_2m karras 20 7 style+name with spaces+negative 0.png"
    bare = generation()
    bare.plan.recommendations.suggested_loras = []
    assert picture_name("%loras%/%loras%.png", bare, 0, (64, 96)) == "image/image.png"
    assert picture_name("%width%x%height% %seed%.png", bare, None, (64, 96)) == "64x96 .png"


def test_save_picture_honours_umask(tmp_path: Path, image: Image.Image) -> None:
    if os.name == "nt":
        pytest.skip("Windows has no umask")
    before = os.umask(0o027)
    try:
        saved = save_picture(tmp_path / "x.png", image, generation())
    finally:
        os.umask(before)
    assert saved.record
    assert {path.stat().st_mode & 0o777 for path in (saved.path, saved.record)} == {0o640}


def test_save_picture_that_its_format_cannot_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTELLIGENT_GENERATION_HOME", str(tmp_path / "home"))
    wide = Image.new("RGB", (17_000, 2))
    with pytest.raises(StorageError, match="lies in") as error:
        save_image(tmp_path / "wide.webp", wide, generation())
    kept = Path(str(error.value).rpartition("lies in ")[2])
    assert Image.open(kept).size == wide.size and "Steps: 20" in read_texts(kept)["parameters"]
    assert [file.name for file in tmp_path.iterdir()] == ["home"]


@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg"])
def test_save_image_is_read_by_sd_parsers(tmp_path: Path, image: Image.Image, suffix: str) -> None:
    sd_parsers = pytest.importorskip("sd_parsers", reason="the extra test is not installed")
    path = save_image(tmp_path / f"fox{suffix}", image, generation(), comfy={"prompt": {}, "workflow": {}})
    found = sd_parsers.ParserManager().parse(path)
    assert (found.samplers[0].name, found.samplers[0].model.hash) == ("DPM++ 2M", "abcdef0123")
    assert found.samplers[0].parameters["seed"] == "0"


@pytest.mark.parametrize("suffix", [".webp", ".jpg"])
def test_save_image_has_exif_as_piexif_reads_it(tmp_path: Path, image: Image.Image, suffix: str) -> None:
    piexif = pytest.importorskip("piexif", reason="piexif is not installed")
    from piexif.helper import UserComment

    exif = piexif.load(Image.open(save_image(tmp_path / f"fox{suffix}", image, generation())).info["exif"])
    assert UserComment.load(exif["Exif"][piexif.ExifIFD.UserComment]) == a1111_parameters(generation())


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
