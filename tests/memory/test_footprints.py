"""Footprints of known models, and estimates of unknown ones, without simulating anything."""

import subprocess
import sys

import pytest

from intelligence.memory import MemoryManager, MemoryRequest, Resources, hypothetical_gpu
from intelligence.memory.footprints import find, known_models, of_architecture
from intelligence.models import Architecture

CARD = hypothetical_gpu(24, Resources("cpu", "Test", 64, 48, 64, 48))
SDXL = {"block_out_channels": [320, 640, 1280]}


@pytest.mark.parametrize(
    ("config", "gib", "weight_bytes", "title"),
    [
        (None, None, 2, "SDXL"),
        (SDXL, 4.7823, 2, "SDXL"),
        ({**SDXL, "in_channels": 9}, 4.7824, 2, "SDXL"),
        (None, 4.7823, 4, "SDXL"),  # half precision on a CPU
        (None, 9.5646, 4, "SDXL"),
        (None, 2.3911, 2, "SDXL"),  # 8 bits in the file
        (None, 2.4798, 2, "SSD-1B"),
        (SDXL, 1.3881, 2, "Segmind Vega"),
        (None, 2.1629, 2, "KOALA 1B"),
        (None, 1.4581, 2, "KOALA 700M"),
        ({"block_out_channels": [384, 768, 1536, 1536]}, 4.2087, 2, "SDXL refiner"),
    ],
)
def test_find_knows_models_by_configuration_and_weights(config, gib, weight_bytes, title):
    found = find(Architecture.SDXL, config, gib, weight_bytes)
    assert (found.title, found.estimated, found.unet_margin) == (title, False, 1.0)


@pytest.mark.parametrize(
    ("config", "gib", "title", "margin"),
    [
        (None, 3.3, "SDXL", 1.0),
        (None, 2.2 * 4.7823, "SDXL", 2.2),
        (SDXL, 4.3, "SDXL", 1.2),
        ({**SDXL, "cross_attention_dim": 2048}, 1.6010, "KOALA 700M", 1.2),  # as heavy as SD 1.5
        ({"block_out_channels": [640, 1280]}, 9.0, "SDXL refiner", 1.2 * 640 / 384),
    ],
)
def test_find_estimates_unknown_models_cautiously(config, gib, title, margin):
    found = find(Architecture.SDXL, config, gib)
    assert (found.title, found.estimated) == (title, True)
    assert found.unet_margin == pytest.approx(margin, rel=0.001)


@pytest.mark.parametrize(
    ("architecture", "title"),
    [
        (Architecture.SD1, "SD 1.5"),
        (Architecture.SD2, "SD 2"),
        (Architecture.SD3, "SD3.5 medium"),
        (Architecture.FLUX, "FLUX.1"),
        (Architecture.FLUX2_KLEIN_9B, "FLUX.2 Klein 9B"),
        (Architecture.QWEN_IMAGE, "Qwen-Image"),
        (Architecture.Z_IMAGE, "Z-Image"),
        (Architecture.WAN_5B, "Wan 2.2 5B"),
    ],
)
def test_find_by_architecture(architecture, title):
    found = find(architecture)
    assert (found.title, found.estimated) == (title, False)


def test_known_models_have_one_title_each():
    assert len({model.title for model in known_models()}) == len(known_models()) == 24


def test_find_knows_a_transformer_in_any_format():
    """Its activations do not depend on the numbers in its file: fp8, and 4 bits with scales."""
    for gib in (22.17, 11.1, 6.4):
        found = find(Architecture.FLUX, unet_gb=gib)
        assert (found.title, found.estimated, found.unet_margin) == ("FLUX.1", False, 1.0)


@pytest.mark.parametrize(("gib", "title"), [(None, "SDXL"), (4.8, "SDXL"), (16.0, "Chroma"), (38.0, "Qwen-Image")])
def test_find_estimates_unknown_architectures_by_weight(gib, title):
    assert of_architecture(Architecture.HIDREAM) is None
    found = find(Architecture.HIDREAM, unet_gb=gib)
    assert (found.title, found.estimated, found.unet_margin) == (title, True, 1.2)


MB = 1e6 / 2**20
"""MiB."""
TEXT_TOKENS = 512
CARD_READINGS = {
    Architecture.FLUX2_KLEIN_4B: 0.291,
    Architecture.FLUX2_KLEIN_9B: 0.386,
    Architecture.FLUX2_DEV: 0.555,
}
"""MB a token that InvokeAI 6.14.2 measured on cards for Flux.2 of widths 3072, 4096 and 6144."""


@pytest.mark.parametrize("side", [1024, 1536])
@pytest.mark.parametrize(("architecture", "reading"), CARD_READINGS.items())
def test_transformers_reserve_what_cards_report(architecture, reading, side):
    tokens = (side // 16) ** 2 + TEXT_TOKENS
    assert find(architecture).unet_call(side * side, 1).reserved == pytest.approx(tokens * reading * MB, rel=0.1)


def test_plan_says_that_a_model_is_estimated():
    request = MemoryRequest(configs={"unet": SDXL}, weights_gb={"unet": 4.3})
    known = MemoryManager().plan(request, weights_gb={"unet": 4.7823}, resources=CARD)
    estimated = MemoryManager().plan(request, resources=CARD)
    (reason,) = (reason for reason in estimated.reasons if reason.setting == "model")
    assert reason.evidence == "this model is of no known size: its memory is estimated from SDXL"
    assert not [reason for reason in known.reasons if reason.setting == "model"]
    rest = {plan.stages["unet"] - plan.resident["unet"] - plan.context_gb for plan in (known, estimated)}
    assert max(rest) == pytest.approx(1.2 * min(rest))


def test_planning_an_unknown_model_simulates_nothing():
    """Neither torch nor diffusers is imported, and so nothing of theirs is replaced."""
    code = (
        "import sys; from intelligence.memory import MemoryManager, MemoryRequest, Resources;"
        "MemoryManager().plan(MemoryRequest(configs={'unet': {'block_out_channels': [192]}}, weights_gb={'unet': 1.0}),"
        "resources=Resources('cuda', 'Test', 8, 8, 32, 32));"
        "sys.exit('torch' in sys.modules or 'diffusers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
