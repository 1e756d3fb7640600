"""Architecture of a file as every trainer and publisher writes it: hundreds of headers, none read wrongly."""

from __future__ import annotations

import itertools

import pytest

from intelligence.models.architecture import Words, identify_architecture, is_lora, lora_type
from intelligence.models.headers import Header
from intelligence.models.kinds import ARCHITECTURE_TITLES, Finding, ModelKind
from intelligence.models.kinds import Architecture as A
from tests.models.published_files import FORMATS, PUBLISHED, Shapes, checkpoint, lora, packed


def header(shapes: Shapes, declared: str = "") -> Header:
    return Header({"modelspec.architecture": declared} if declared else {}, shapes)


@pytest.mark.parametrize("name", PUBLISHED)
def test_identify_architecture_of_every_format(name: str) -> None:
    model, seen = PUBLISHED[name], 0
    for called, form in FORMATS.items():
        shapes = lora(model, form)
        if not shapes:
            continue
        found = identify_architecture(header(shapes, model.declared), ModelKind.LORA)
        assert is_lora(shapes)
        assert lora_type(header(shapes)) == form.lora_type, called
        named = ARCHITECTURE_TITLES[model.architecture] in found.source
        # A rotation tells only how many values come out, which some networks have in common.
        assert found.value == model.architecture or (form.lora_type == "oft" and named), (called, found)
        assert found.confidence >= 0.8, (called, found)
        assert "modules looked up are" in found.source
        seen += 1
    assert seen >= 12


def test_published_files_are_hundreds() -> None:
    assert (
        sum(bool(lora(model, form)) for model, form in itertools.product(PUBLISHED.values(), FORMATS.values())) >= 400
    )


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("prefix", ["model.diffusion_model.", ""])
def test_identify_architecture_of_checkpoint(name: str, prefix: str) -> None:
    model = PUBLISHED[name]
    shapes = checkpoint(model, prefix)
    assert not is_lora(shapes)
    found = identify_architecture(header(shapes, model.declared), ModelKind.CHECKPOINT)
    assert found.value == model.architecture, found


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("how", ["fp8", "int8"])
def test_identify_architecture_of_quantised_checkpoint(name: str, how: str) -> None:
    model = PUBLISHED[name]
    found = identify_architecture(header(packed(checkpoint(model, ""), how), model.declared), ModelKind.CHECKPOINT)
    assert found.value == model.architecture, found


PACKED = {
    "flux": A.FLUX,
    "flux2_dev": A.FLUX2_DEV,
    "qwen_image": A.QWEN_IMAGE,
    "z_image": A.Z_IMAGE,
    "krea2": A.KREA2,
    "anima": A.ANIMA,
    "wan_14b": A.WAN_14B,
    "hidream": A.HIDREAM,
    "sdxl": A.SDXL,
}


@pytest.mark.parametrize("name", PACKED)
@pytest.mark.parametrize("how", ["nvfp4", "nf4"])
def test_identify_architecture_of_packed_checkpoint(name: str, how: str) -> None:
    shapes = packed(checkpoint(PUBLISHED[name], "model.diffusion_model."), how)
    assert identify_architecture(header(shapes), ModelKind.CHECKPOINT).value == PACKED[name]


TEXT = {
    f"lora_te{number}_{module}.{end}": shape
    for number, module, width in (
        (1, "text_model_encoder_layers_0_self_attn_k_proj", 768),
        (2, "encoder_block_0_layer_0_SelfAttention_k", 4096),
    )
    for end, shape in (("lora_down.weight", (8, width)), ("lora_up.weight", (width, 8)))
}


@pytest.mark.parametrize("name", ["flux", "sd3_medium", "z_image", "qwen_image", "hunyuan_dit", "sdxl"])
def test_identify_architecture_leaves_text_encoders_aside(name: str) -> None:
    shapes = {**lora(PUBLISHED[name], FORMATS["kohya"]), **TEXT}
    assert identify_architecture(header(shapes), ModelKind.LORA).value == PUBLISHED[name].architecture


def one_block(name: str, form: str = "kohya") -> Shapes:
    """The first few tensors of a file, as a slider or a concept of one layer has them."""
    return dict(itertools.islice(lora(PUBLISHED[name], FORMATS[form]).items(), 6))


CHROMA, FLUX = lora(PUBLISHED["chroma"], FORMATS["ai_toolkit"]), one_block("flux")
WORDS = [
    (CHROMA, {}, Words(), A.FLUX),
    (CHROMA, {"modelspec.architecture": "chroma/lora"}, Words(), A.CHROMA),
    (CHROMA, {"ss_base_model_version": "flux1"}, Words(Finding("Chroma", "civitai", 0.95)), A.CHROMA),
    (CHROMA, {}, Words(file_name="chroma_portrait"), A.CHROMA),
    (CHROMA, {}, Words(file_name="chromatic_portrait"), A.FLUX),
    (FLUX, {"modelspec.architecture": "stable-diffusion-xl-v1-base/lora"}, Words(), A.FLUX),
    (FLUX, {}, Words(Finding("Pony", "civitai", 0.95), "my_pony"), A.FLUX),
    (FLUX, {}, Words(Finding("Flux.2 Klein 4B", "civitai", 0.95)), A.FLUX2_KLEIN_4B),
    (one_block("sdxl"), {"modelspec.architecture": "kolors/lora"}, Words(), A.KOLORS),
    (one_block("qwen_image"), {}, Words(file_name="qwen_image_2.1_style"), A.QWEN_IMAGE_21),
    ({"odd.lora_down.weight": (4, 8)}, {}, Words(Finding("Z-Image Turbo", "civitai", 0.95)), A.Z_IMAGE),
    ({"odd.lora_down.weight": (4, 8)}, {}, Words(file_name="moss_image_style"), A.MOSS_IMAGE),
    ({"odd.lora_down.weight": (4, 8)}, {}, Words(file_name="my_little_pony"), A.UNKNOWN),
    (TEXT, {}, Words(), A.FLUX),
    (TEXT, {"modelspec.architecture": "stable-diffusion-3-medium/lora"}, Words(), A.SD3),
]


@pytest.mark.parametrize(("shapes", "metadata", "words", "expected"), WORDS)
def test_identify_architecture_weighs_words(
    shapes: Shapes, metadata: dict[str, str], words: Words, expected: A
) -> None:
    found = identify_architecture(Header(metadata, shapes), ModelKind.LORA, words)
    assert found.value == expected, found


def test_identify_architecture_never_takes_another_size() -> None:
    wide = {key: tuple(7 * side for side in shape) for key, shape in lora(PUBLISHED["flux"], FORMATS["peft"]).items()}
    found = identify_architecture(header(wide), ModelKind.LORA)
    assert (found.value, found.confidence) == (A.UNKNOWN, 0)
    assert "other sizes" in found.source
