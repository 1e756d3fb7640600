"""Offloading of the embedded SDXL on a CPU: the same picture whatever the plan, by hooks that really are there."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from intelligence.config import OffloadStrategy
from intelligence.errors import InvalidInputError
from intelligence.memory import (
    MemoryManager,
    MemoryPlan,
    ModelOffloader,
    OffloadConfig,
    Resources,
    hypothetical_gpu,
    offload,
    resources,
)
from intelligence.memory.offload import set_tiling, weights_gb

torch = pytest.importorskip("torch")

FULL, WHOLE_MODELS, STREAMED = OffloadStrategy.FULL_GPU, OffloadStrategy.CPU_OFFLOAD, OffloadStrategy.SEQUENTIAL


def load(home):
    import diffusers

    from intelligence.generation.embedded import ensure_embedded

    pipe = diffusers.StableDiffusionXLPipeline.from_pretrained(ensure_embedded().folder, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="module")
def pipe(embedded_home):
    return load(embedded_home)


@pytest.fixture
def fresh(embedded_home):
    return load(embedded_home)


def run(pipe, size=128):
    generator = torch.Generator().manual_seed(0)
    result = pipe("a cat", width=size, height=size, num_inference_steps=2, generator=generator, output_type="np")
    return result.images


def distribute(pipe, strategy=FULL, **plan):
    return ModelOffloader(strategy).distribute_pipeline(pipe, MemoryPlan(strategy, "cpu", **plan))


@pytest.fixture(scope="module")
def picture(pipe):
    distribute(pipe)
    return run(pipe)


@pytest.mark.parametrize("strategy", [FULL, WHOLE_MODELS, STREAMED])
@pytest.mark.parametrize("plan", [{}, {"cfg_split": True}, {"attention_slicing": True}])
def test_distribute_keeps_picture(pipe, picture, strategy, plan):
    config = distribute(pipe, strategy, **plan)
    assert (config.strategy, config.execution_device) == (strategy, "cpu")
    assert np.abs(run(pipe) - picture).max() < 1e-4
    distribute(pipe)
    assert np.abs(run(pipe) - picture).max() < 1e-4


def test_distribute_streams_every_leaf_each_forward(fresh, monkeypatch):
    from diffusers.hooks.group_offloading import ModuleGroup

    moved = Counter()

    def counting(name):
        method = getattr(ModuleGroup, name)

        def wrapper(group):
            moved.update((name, id(module)) for module in group.modules)
            method(group)

        monkeypatch.setattr(ModuleGroup, name, wrapper)

    counting("onload_")
    counting("offload_")
    distribute(fresh, STREAMED)
    moved.clear()
    run(fresh)
    leaves = [part for part in fresh.unet.modules() if isinstance(part, (torch.nn.Linear, torch.nn.Conv2d))]
    assert len(leaves) > 100
    assert {moved[way, id(leaf)] for leaf in leaves for way in ("onload_", "offload_")} == {2}  # one each step


def test_distribute_streams_all_but_vae_on_card(pipe, monkeypatch):
    """The VAE is cast for the decode, which a pinned copy of its weights would not follow."""
    import diffusers.hooks

    calls = []
    monkeypatch.setattr(diffusers.hooks, "apply_group_offloading", lambda module, **how: calls.append((module, how)))
    ModelOffloader(STREAMED).distribute_pipeline(pipe, MemoryPlan(STREAMED, "cuda"))
    assert {how["onload_device"].type for _, how in calls} == {"cuda"}
    streamed = {id(module) for module, how in calls if how["use_stream"]}
    assert streamed == {id(module) for module in (pipe.unet, pipe.text_encoder, pipe.text_encoder_2)}
    assert len(calls) == 4


def test_distribute_offloads_whole_models_in_turn(fresh, monkeypatch):
    from accelerate.hooks import CpuOffload

    order = []
    method = CpuOffload.pre_forward

    def wrapper(hook, module, *args, **kwargs):
        if order[-1:] != [module]:
            order.append(module)
        return method(hook, module, *args, **kwargs)

    monkeypatch.setattr(CpuOffload, "pre_forward", wrapper)
    distribute(fresh, WHOLE_MODELS)
    run(fresh)
    parts = (fresh.text_encoder, fresh.text_encoder_2, fresh.unet, fresh.vae)
    assert [id(part) for part in order] == [id(part) for part in parts]


@pytest.mark.parametrize("strategy", [FULL, WHOLE_MODELS, STREAMED])
def test_distribute_float8_weights(fresh, picture, strategy):
    whole = weights_gb(fresh.unet)
    config = distribute(fresh, strategy, weight_dtype="float8")
    assert config.weight_dtype == "float8"
    first = run(fresh)
    assert 0 < np.abs(first - picture).mean() < 0.1
    assert weights_gb(fresh.unet) < whole * 0.3  # from float32
    distribute(fresh, FULL, weight_dtype="float8")
    assert np.abs(run(fresh) - first).max() < 1e-4
    with pytest.raises(InvalidInputError, match="load the model anew"):
        distribute(fresh, FULL)


@pytest.mark.parametrize(("tile", "latent"), [(512, 64), (256, 32)])
def test_distribute_sets_tiles_below_default(pipe, tile, latent):
    distribute(pipe, tile_size=tile)
    vae = pipe.vae
    assert (vae.use_tiling, vae.tile_sample_min_size, vae.tile_latent_min_size) == (True, tile, latent)
    distribute(pipe)
    assert not vae.use_tiling


def test_set_tiling_decodes_tiles_one_by_one(pipe):
    shapes = []
    hook = pipe.vae.decoder.register_forward_pre_hook(lambda _, inputs: shapes.append(tuple(inputs[0].shape[-2:])))
    try:
        set_tiling(pipe.vae, 64)
        run(pipe)
    finally:
        hook.remove()
        set_tiling(pipe.vae, 0)
    assert len(shapes) == 9
    assert max(shapes) == (8, 8)


def test_distribute_cfg_split_halves_forward(pipe):
    batches = []
    hook = pipe.unet.conv_in.register_forward_pre_hook(lambda _, inputs: batches.append(len(inputs[0])))
    try:
        for split in (False, True):
            distribute(pipe, cfg_split=split)
            run(pipe)
    finally:
        hook.remove()
        distribute(pipe)
    assert batches == [2, 2, 1, 1, 1, 1]


@pytest.mark.parametrize("strategy", [*OffloadStrategy, "cpu_offload"])
def test_distribute_without_plan_makes_one(pipe, strategy):
    config = ModelOffloader(strategy).distribute_pipeline(pipe)
    device = MemoryManager().detect_resources().device
    assert isinstance(config, OffloadConfig)
    assert config.execution_device == device
    assert set(config.device) == {"unet", "vae", "text_encoder", "text_encoder_2"}
    if device == "cpu":
        assert config.strategy is FULL
        assert set(config.device.values()) == {"cpu"}
        if strategy in (STREAMED, WHOLE_MODELS):
            assert any("no separate memory" in reason.evidence for reason in config.reasons)


def test_distribute_pipeline_of_other_kind(standalone):
    import diffusers

    unet = diffusers.UNet2DModel(
        sample_size=8,
        block_out_channels=(8, 8),
        norm_num_groups=4,
        down_block_types=("DownBlock2D",) * 2,
        up_block_types=("UpBlock2D",) * 2,
        layers_per_block=1,
    )
    pipe = diffusers.DDPMPipeline(unet, diffusers.DDPMScheduler())
    config = ModelOffloader().distribute_pipeline(pipe)
    assert set(config.device) == {"unet"}
    parameters = sum(parameter.numel() for parameter in pipe.unet.parameters())
    assert weights_gb(pipe) == weights_gb(pipe.unet) == parameters * 4 / 2**30
    assert weights_gb(object()) is None


@pytest.mark.parametrize(
    ("requested", "limit", "expected"),
    [
        (FULL, None, FULL),
        (FULL, 12, FULL),
        (FULL, 6, WHOLE_MODELS),
        (WHOLE_MODELS, 3, STREAMED),
        ("AUTO", 6, WHOLE_MODELS),
    ],
)
def test_offloader_keeps_its_limit(monkeypatch, requested, limit, expected):
    """Weights of 4 and 3 GiB on the meta device, placed on a card that has room for both."""
    gib = {"unet": 4, "text_encoder": 3}
    modules = {
        name: torch.nn.Sequential(*[torch.nn.Linear(8192, 8192, bias=False, device="meta") for _ in range(4 * size)])
        for name, size in gib.items()
    }
    pipe = SimpleNamespace(components=modules, remove_all_hooks=lambda: None)
    machine = hypothetical_gpu(24, Resources("cpu", "Test", 64, 64, 64, 64))
    monkeypatch.setattr(resources, "detect_resources", lambda: machine)
    placed = []
    for strategy in offload._PLACE:
        monkeypatch.setitem(offload._PLACE, strategy, lambda *_, strategy=strategy: placed.append(strategy))
    config = ModelOffloader(requested, limit).distribute_pipeline(pipe)
    assert (config.strategy, placed) == (expected, [expected])


@pytest.mark.parametrize(("strategy", "limit"), [("SOMETIMES", None), ("AUTO", 0), ("AUTO", "8")])
def test_offloader_refuses_wrong_settings(strategy, limit):
    with pytest.raises(InvalidInputError):
        ModelOffloader(strategy, limit)


@pytest.mark.parametrize("strategy", [FULL, WHOLE_MODELS, STREAMED])
def test_distribute_vae_precision(fresh, strategy):
    """Loaded in float16, SDXL's pipeline casts it to float32 for the decode; a plan may ask for its own precision."""
    fresh.vae.half()
    seen = []
    fresh.vae.decoder.conv_in.register_forward_pre_hook(lambda module, _: seen.append(module.weight.dtype))
    for dtype in ("float32", "float16", "float32", "bfloat16"):
        distribute(fresh, strategy, vae_dtype=dtype)
        assert np.isfinite(run(fresh)).all()
    assert seen == [torch.float32, torch.float16, torch.float32, torch.bfloat16]
    with pytest.raises(InvalidInputError, match="load the model anew"):
        distribute(fresh, strategy, vae_dtype="float32")


@pytest.mark.parametrize("strategy", [FULL, WHOLE_MODELS, STREAMED])
def test_distribute_does_not_leak_ram(fresh, strategy):
    """What diffusers#7970 tells of: tensors that stay after a run, and hooks that every set up adds to."""
    import gc

    def alive():
        gc.collect()
        tensors = [item for item in gc.get_objects() if issubclass(type(item), torch.Tensor)]
        hooks = sum(len(part._forward_pre_hooks) + len(part._forward_hooks) for part in fresh.unet.modules())
        return len(tensors), sum(tensor.numel() * tensor.element_size() for tensor in tensors), hooks

    def use():
        distribute(fresh, strategy, vae_dtype="float32", cfg_split=True)
        run(fresh, 64)

    use()
    before = alive()
    for _ in range(4):
        use()
    assert all(now <= then for now, then in zip(alive(), before, strict=True))
