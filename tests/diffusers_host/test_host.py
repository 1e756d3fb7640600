"""The diffusers host on the embedded model: seeds, LoRAs, batches, schedules, memory settings, interrupts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from intelligence.config import OffloadStrategy
from intelligence.errors import InvalidInputError, ModelNotFoundError, UnsupportedModelError
from intelligence.generation.diffusers_host import DiffusersHost
from intelligence.generation.embedded import EmbeddedModel, ensure_embedded
from intelligence.generation.sdxl_config import sdxl_config_folder
from intelligence.generation.stages import GenerationPlan, Recommendations
from intelligence.lora import LoRARecommendation
from intelligence.memory import MemoryPlan
from intelligence.models import ModelMetadata
from intelligence.parameters import OptimizedParameters
from intelligence.prompt import PromptAnalysis

from ..comfyui import loras

SETTINGS: dict[str, Any] = {
    "num_steps": 4,
    "guidance_scale": 6.0,
    "width": 128,
    "height": 192,
    "sampler_name": "dpmpp_2m",
    "scheduler": "karras",
}
AYS = (14.615, 6.318, 3.768, 2.181, 1.341, 0.862, 0.555, 0.380, 0.233, 0.111, 0.0)


def lora(path: Path, alpha: float = 1.0, clip: float | None = None) -> LoRARecommendation:
    metadata = ModelMetadata(f"lora:{path.name}", path.stem, local_path=str(path))
    return LoRARecommendation(path.stem, metadata, 0.9, alpha, suggested_alpha_clip=clip)


def plan(
    *loras: LoRARecommendation,
    prompt: str = "a red cat on a (sofa:1.3)",
    batch: int = 1,
    tile: int = 0,
    **settings: Any,
) -> GenerationPlan:
    parameters = OptimizedParameters(**{**SETTINGS, **settings})
    recommendations = Recommendations(
        PromptAnalysis(prompt), list(loras), parameters, prompt=prompt, negative_prompt="blurry"
    )
    return GenerationPlan(recommendations, MemoryPlan(OffloadStrategy.FULL_GPU, "cpu", tile, batch))


def pixels(image: Any) -> np.ndarray:
    return np.asarray(image).astype(np.int16)


def make(host: DiffusersHost, wanted: GenerationPlan, *seeds: int) -> list[np.ndarray]:
    return [pixels(image) for image in host.execute(wanted, seeds).images]


def test_execute_gives_images_of_planned_size(host: DiffusersHost) -> None:
    (image,) = make(host, plan(), 0)
    assert image.shape == (192, 128, 3)
    assert image.std() > 10


def test_execute_is_deterministic_by_seed(host: DiffusersHost) -> None:
    zero, one = make(host, plan(), 0, 1)
    (again,) = make(host, plan(), 0)
    assert np.array_equal(zero, again)
    assert np.abs(zero - one).mean() > 5
    assert make(host, plan(), 2**64 - 1)[0].std() > 10


@pytest.mark.parametrize("sampler", ["dpmpp_2m", "euler_ancestral", "dpmpp_2m_sde", "dpmpp_sde"])
def test_execute_batch_equals_single_images(host: DiffusersHost, sampler: str) -> None:
    singles = make(host, plan(sampler_name=sampler), 5, 0, 7)
    batch = make(host, plan(sampler_name=sampler, batch=2), 5, 0, 7)
    for single, of_batch in zip(singles, batch, strict=True):
        assert np.abs(single - of_batch).max() <= 2


def test_execute_with_several_loras(host: DiffusersHost, embedded: EmbeddedModel, tmp_path: Path) -> None:
    loras.make(tmp_path, loras.DEMO_LIBRARY[:1])
    first, second = tmp_path / loras.DEMO_LIBRARY[0].path, embedded.lora_paths[0]
    (plain,) = make(host, plan(), 0)
    pictures = {
        "first": make(host, plan(lora(first)), 0)[0],
        "second": make(host, plan(lora(second)), 0)[0],
        "both": make(host, plan(lora(first), lora(second)), 0)[0],
        "weak": make(host, plan(lora(first, 0.4)), 0)[0],
        "unet only": make(host, plan(lora(first, 1.0, 0.0)), 0)[0],
        "text only": make(host, plan(lora(first, 0.0, 1.0)), 0)[0],
        "plain": plain,
    }
    names = list(pictures)
    for index, one in enumerate(names):
        for other in names[index + 1 :]:
            assert np.abs(pictures[one] - pictures[other]).mean() > 0.5, (one, other)
    assert np.array_equal(make(host, plan(lora(first, 0.0)), 0)[0], plain)
    assert np.array_equal(make(host, plan(lora(second)), 0)[0], pictures["second"])
    assert np.array_equal(make(host, plan(), 0)[0], plain)


def test_execute_with_loras_in_any_order(host: DiffusersHost, embedded: EmbeddedModel) -> None:
    first, second = lora(embedded.lora_paths[2], 0.7), lora(embedded.lora_paths[3], 0.4)
    one, other = make(host, plan(first, second), 0)[0], make(host, plan(second, first), 0)[0]
    assert np.abs(one - other).max() <= 2


def test_execute_keeps_loaded_lora(
    host: DiffusersHost, embedded: EmbeddedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(host, plan(lora(embedded.lora_paths[0])), 0)
    monkeypatch.setattr(host._pipe, "load_lora_weights", lambda *_, **__: pytest.fail("loaded again"))
    make(host, plan(lora(embedded.lora_paths[0], 0.3)), 0)


def _foreign_lora(path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    layer = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
    save_file({f"{layer}.lora_down.weight": torch.zeros(4, 768), f"{layer}.lora_up.weight": torch.zeros(320, 4)}, path)


def _unrelated(path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({"some.other.weight": torch.zeros(4)}, path)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\x80\x02pickle"),
        lambda path: path.write_bytes(ensure_embedded().lora_paths[0].read_bytes()[:-100]),
        _foreign_lora,
        _unrelated,
    ],
    ids=["empty", "pickle", "truncated", "of another model", "no LoRA"],
)
def test_execute_names_broken_lora(host: DiffusersHost, tmp_path: Path, write: Callable[[Path], None]) -> None:
    path = tmp_path / "broken_one.safetensors"
    write(path)
    (plain,) = make(host, plan(), 3)
    with pytest.raises(UnsupportedModelError, match="broken_one"):
        host.execute(plan(lora(path)), [3])
    assert np.array_equal(make(host, plan(), 3)[0], plain)


def test_execute_names_missing_lora(host: DiffusersHost, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="gone_one"):
        host.execute(plan(lora(tmp_path / "gone_one.safetensors")), [0])


def test_execute_samples_explicit_schedule(host: DiffusersHost) -> None:
    for sampler in ("euler", "dpmpp_2m", "uni_pc_bh2"):
        execution = host.execute(plan(sampler_name=sampler, scheduler="normal", num_steps=10, sigmas=AYS), [0])
        assert execution.notes == ()
        assert [round(float(sigma), 3) for sigma in host._pipe.scheduler.sigmas] == pytest.approx(AYS)
        assert pixels(execution.images[0]).std() > 10


def test_execute_notes_substituted_sampler(host: DiffusersHost) -> None:
    assert "CFG++" in host.execute(plan(sampler_name="euler_cfg_pp", scheduler="normal"), [0]).notes[0]
    for settings in ({"scheduler": "normal"}, {"num_steps": 10, "sigmas": AYS}):
        assert host.execute(plan(sampler_name="heun", **settings), [0]).notes == ()


@pytest.mark.parametrize("sampler", ["euler", "heun"])
def test_execute_reports_every_step_once(host: DiffusersHost, sampler: str) -> None:
    seen: list[tuple[int, int]] = []
    execution = host.execute(plan(sampler_name=sampler, batch=2), [1, 2, 3], lambda done, of: seen.append((done, of)))
    assert seen == [(done, 8) for done in range(1, 9)]
    assert execution.seconds_per_step is not None and 0 < execution.seconds_per_step < execution.seconds
    assert execution.peak_vram_gb >= 0


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_execute_after_interrupt(host: DiffusersHost, error: type[BaseException]) -> None:
    (plain,) = make(host, plan(), 0)

    def stop(done: int, _of: int) -> None:
        if done == 2:
            raise error("stop")

    with pytest.raises(error):
        host.execute(plan(), [0], stop)
    assert np.array_equal(make(host, plan(), 0)[0], plain)


def test_execute_obeys_settings(host: DiffusersHost) -> None:
    (plain,) = make(host, plan(), 0)
    for settings in ({"guidance_scale": 1.0}, {"clip_skip": -1}, {"rescale_cfg": 0.9}, {"num_steps": 6}):
        assert not np.array_equal(make(host, plan(**settings), 0)[0], plain), settings
    assert np.array_equal(make(host, plan(clip_skip=-2), 0)[0], plain)


def test_execute_decodes_in_tiles(host: DiffusersHost) -> None:
    (whole,) = make(host, plan(width=256, height=256), 0)
    (tiled,) = make(host, plan(width=256, height=256, tile=128), 0)
    assert 0 < np.abs(whole - tiled).mean() < 30
    assert np.array_equal(make(host, plan(width=256, height=256), 0)[0], whole)


@pytest.mark.parametrize("strategy", [OffloadStrategy.CPU_OFFLOAD, OffloadStrategy.SEQUENTIAL])
def test_execute_with_every_strategy(host: DiffusersHost, strategy: OffloadStrategy) -> None:
    (plain,) = make(host, plan(), 0)
    wanted = plan()
    offloaded = GenerationPlan(wanted.recommendations, MemoryPlan(strategy, "cpu"))
    assert np.abs(make(host, offloaded, 0)[0] - plain).max() <= 1  # moved weights lie elsewhere, and round otherwise


@pytest.mark.parametrize("seeds", [[], [-1], [2**64], [True], [0.5]])
def test_execute_refuses_seeds(host: DiffusersHost, seeds: list[Any]) -> None:
    with pytest.raises(InvalidInputError, match="seed"):
        host.execute(plan(), seeds)


def test_evidence_needs_no_weights(embedded: EmbeddedModel) -> None:
    fresh = DiffusersHost("embedded")
    assert fresh.evidence().architecture == "demo"
    assert fresh.evidence().prediction == "epsilon"
    assert fresh.evidence().sigma_max == pytest.approx(14.6146, abs=1e-3)
    assert sum(fresh.weights_gb().values()) > 0.005
    assert fresh._pipe is None


@pytest.fixture(scope="module")
def sd15_folder(embedded_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny pipeline of the SD1 class: one text encoder, 768 wide, and no size conditioning."""
    import torch
    from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    config = sdxl_config_folder()
    torch.manual_seed(0)
    text = CLIPTextConfig(
        hidden_size=768, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4, vocab_size=49408,
        bos_token_id=49406, eos_token_id=49407,
    )  # fmt: skip
    unet = UNet2DConditionModel(
        block_out_channels=(8, 16), down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), layers_per_block=1, norm_num_groups=4,
        cross_attention_dim=768, attention_head_dim=2, sample_size=64,
    )  # fmt: skip
    pipe = StableDiffusionPipeline(
        vae=AutoencoderKL.from_pretrained(ensure_embedded().folder / "vae"),
        text_encoder=CLIPTextModel(text),
        tokenizer=CLIPTokenizer.from_pretrained(config / "tokenizer"),
        unet=unet,
        scheduler=EulerDiscreteScheduler.from_pretrained(config / "scheduler"),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    folder = tmp_path_factory.mktemp("sd15")
    pipe.save_pretrained(folder)
    return folder


def test_execute_samples_sd1_folder(sd15_folder: Path) -> None:
    host = DiffusersHost(str(sd15_folder))
    assert host.evidence().architecture == "sd1"
    (short,) = make(host, plan(prompt="a cat"), 0)
    (weighted,) = make(host, plan(prompt="(a cat:1.4)"), 0)
    (skipped,) = make(host, plan(prompt="a cat", clip_skip=-2), 0)
    (long,) = make(host, plan(prompt="a cat " * 60), 0)
    pictures = [short, weighted, skipped, long]
    assert all(picture.std() > 5 for picture in pictures)
    assert all(not np.array_equal(short, picture) for picture in pictures[1:])
    scouting = host.scout(plan(prompt="a cat"), [0])
    resumed = host.resume(scouting, 0).execute(scouting.plan, [0])
    assert np.array_equal(pixels(resumed.images[0]), short)
