"""Offloading of a real, tiny diffusers pipeline."""

import pytest

from intelligence.config import OffloadStrategy
from intelligence.errors import InvalidInputError
from intelligence.memory import MemoryManager, ModelOffloader, OffloadConfig
from intelligence.memory.offload import weights_gb

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def pipe(standalone):
    import diffusers

    unet = diffusers.UNet2DModel(
        sample_size=8,
        block_out_channels=(8, 8),
        norm_num_groups=4,
        down_block_types=("DownBlock2D",) * 2,
        up_block_types=("UpBlock2D",) * 2,
        layers_per_block=1,
    )
    return diffusers.DDPMPipeline(unet, diffusers.DDPMScheduler())


def run(pipe):
    return pipe(generator=torch.Generator().manual_seed(0), num_inference_steps=2, output_type="np").images


@pytest.mark.parametrize("strategy", [*OffloadStrategy, "cpu_offload"])
def test_every_strategy_leaves_a_pipeline_that_samples_the_same(pipe, strategy):
    config = ModelOffloader(strategy).distribute_pipeline(pipe)
    device = MemoryManager().detect_resources().device
    assert isinstance(config, OffloadConfig)
    assert config.execution_device == device
    assert set(config.device) == {"unet"}
    if device == "cpu":
        assert config.strategy is OffloadStrategy.FULL_GPU
        assert config.device == {"unet": "cpu"}
    elif device == "cuda" and strategy not in ("AUTO", OffloadStrategy.AUTO):
        assert config.strategy is OffloadStrategy(strategy)
    first = run(pipe)
    ModelOffloader("FULL_GPU").distribute_pipeline(pipe)
    assert abs(first - run(pipe)).max() < 1e-2


def test_a_cpu_says_why_nothing_is_offloaded(pipe):
    if MemoryManager().detect_resources().device == "cuda":
        pytest.skip("this machine can offload")
    config = ModelOffloader(OffloadStrategy.SEQUENTIAL).distribute_pipeline(pipe)
    assert any("no separate memory" in reason.evidence for reason in config.reasons)


def test_weights_are_counted(pipe):
    parameters = sum(parameter.numel() for parameter in pipe.unet.parameters())
    assert weights_gb(pipe) == weights_gb(pipe.unet) == parameters * 4 / 2**30
    assert weights_gb(object()) is None


@pytest.mark.parametrize(("strategy", "limit"), [("SOMETIMES", None), ("AUTO", 0), ("AUTO", "8")])
def test_wrong_settings_are_refused(strategy, limit):
    with pytest.raises(InvalidInputError):
        ModelOffloader(strategy, limit)
