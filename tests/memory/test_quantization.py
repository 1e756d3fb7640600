"""Weights in fewer bits: what they take beside the prediction, how far they are from exact, and what is left alone."""

from dataclasses import replace

import numpy as np
import pytest

from intelligence.config import OffloadStrategy
from intelligence.errors import InvalidInputError, MissingDependencyError
from intelligence.memory import MemoryPlan, MemoryRequest, ModelOffloader, Rates, footprints, quantization
from intelligence.memory.job import Job
from intelligence.memory.offload import weights_gb
from intelligence.memory.prediction import FINEST_FIRST, Placement
from intelligence.models import Architecture
from tests.memory.test_offload import distribute, load, run
from tests.tools import simulator
from tests.tools.make_footprints import SDXL_CONFIGS

torch = pytest.importorskip("torch")

FULL, WHOLE_MODELS, STREAMED = OffloadStrategy.FULL_GPU, OffloadStrategy.CPU_OFFLOAD, OffloadStrategy.SEQUENTIAL
SDXL = footprints.of_architecture(Architecture.SDXL)
ROUNDED = [dtype for dtype in FINEST_FIRST if dtype != "float16"]


def needs_library(dtype):
    if dtype in quantization.LIBRARIES:
        pytest.importorskip(quantization.LIBRARIES[dtype])


def predicted_mib(sizes, dtype):
    """Weights of a network of these sizes (`simulator.weights`) in half precision, by the plan's own formula."""
    known = replace(SDXL, weights={"unet": sizes.total}, linear=sizes.linear, linear_rows=sizes.linear_rows)
    weights = {"text": 0.0, "unet": sizes.total / 1024, "vae": 0.0}
    job = Job(MemoryRequest(), known, weights, Rates(forward_item=1.0, decoded_pixel=0.0))
    return Placement(FULL, dtype).weights(job)["unet"] * 1024


@pytest.fixture
def block(standalone):
    """The largest transformer block of SDXL's UNet."""
    from diffusers.models.attention import BasicTransformerBlock

    torch.manual_seed(0)
    return BasicTransformerBlock(1280, 20, 64, cross_attention_dim=2048).half().eval()


@pytest.mark.parametrize("dtype", ["int8", "nf4"])
def test_store_block_matches_prediction(block, dtype):
    needs_library(dtype)
    sizes = simulator.weights(block)
    quantization.store(block, dtype, "cpu")
    assert quantization.stored_as(block) == dtype
    assert weights_gb(block) * 1024 == pytest.approx(predicted_mib(sizes, dtype), rel=0.001)
    assert weights_gb(block) * 1024 < sizes.total * {"int8": 0.51, "nf4": 0.29}[dtype]


def test_store_int8_unet_matches_prediction(standalone):
    """Its weights to 0.1 %, and beside them what exact weights take; the copy that is computed with is small beside
    what else is there at the peak."""
    needs_library("int8")
    unet = simulator.build(SDXL_CONFIGS["unet"], "float16")
    sizes = simulator.weights(unet)
    quantization.store(unet, "int8", "meta")
    assert simulator.weights(unet).total == pytest.approx(predicted_mib(sizes, "int8"), rel=0.001)
    found, exact = simulator.unet_footprint(unet, 1024, 1024, 2), SDXL.unet_call(1024**2, 2)
    assert exact.allocated - 1 <= found.allocated <= exact.allocated + SDXL.largest_linear


@pytest.mark.parametrize("dtype", ROUNDED)
def test_store_embedded_unet_matches_prediction(embedded_home, dtype):
    needs_library(dtype)
    unet = load(embedded_home).unet.half()
    sizes = simulator.weights(unet)
    quantization.store(unet, dtype, "cpu")
    # Its matrices are so small that code tables, and the norms that float8 leaves alone, count.
    assert weights_gb(unet) * 1024 == pytest.approx(predicted_mib(sizes, dtype), rel=0.05)


@pytest.mark.parametrize(("dtype", "low", "high"), [("int8", 0.002, 0.01), ("float8", 0.02, 0.035), ("nf4", 0.07, 0.1)])
def test_store_rounding_error_of_layer(dtype, low, high):
    """Relative rms, for weights drawn evenly; they rank the formats."""
    needs_library(dtype)
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(1280, 1280, bias=False))
    given = torch.randn(64, 1280)
    with torch.no_grad():
        exact = model(given)
        if dtype == "float8":
            model[0].weight.data = model[0].weight.to(torch.float8_e4m3fn).float()
        else:
            quantization.store(model, dtype, "cpu")
        error = (model(given) - exact).pow(2).mean().sqrt() / exact.pow(2).mean().sqrt()
    assert low < error < high


@pytest.mark.parametrize(("dtype", "limit"), [("int8", 0.01), ("nf4", 0.1)])
@pytest.mark.parametrize("strategy", [FULL, WHOLE_MODELS])
def test_store_keeps_picture_near(embedded_home, dtype, limit, strategy):
    """`limit`: mean difference of values from 0 to 1."""
    needs_library(dtype)
    pipe = load(embedded_home)
    distribute(pipe)
    exact = run(pipe)
    config = distribute(pipe, strategy, weight_dtype=dtype)
    assert config.weight_dtype == dtype
    first = run(pipe)
    assert 0 < np.abs(first - exact).mean() < limit
    distribute(pipe, weight_dtype=dtype)
    assert np.abs(run(pipe) - first).max() < 1e-4
    with pytest.raises(InvalidInputError, match="load the model anew"):
        distribute(pipe)


@pytest.mark.parametrize("dtype", ["int8", "nf4"])
def test_store_keeps_lora_layers_exact(standalone, dtype):
    needs_library(dtype)
    import peft

    unet = torch.nn.ModuleDict({"to_q": torch.nn.Linear(64, 64)})
    peft.inject_adapter_in_model(peft.LoraConfig(r=4, target_modules=["to_q"]), unet)
    quantization.store(unet, dtype, "cpu")
    layer = unet["to_q"]
    assert quantization.stored_as(layer.base_layer) == dtype
    assert quantization.stored_as(layer.lora_A) == quantization.stored_as(layer.lora_B) == "float16"


def test_store_needs_library(standalone, monkeypatch):
    from intelligence.memory import MemoryManager, hypothetical_gpu

    machine = MemoryManager().detect_resources()
    for dtype in quantization.LIBRARIES:
        monkeypatch.setitem(quantization.LIBRARIES, dtype, "a_library_that_is_not_here")
    assert not {"int8", "nf4"} & set(hypothetical_gpu(6, machine).dtypes)
    with pytest.raises(MissingDependencyError, match=r"pip install .\.\[quantization\]"):
        quantization.store(torch.nn.Linear(2, 2), "int8", "cpu")


def test_distribute_refuses_to_stream_integers(embedded_home):
    with pytest.raises(InvalidInputError, match="cannot be streamed"):
        ModelOffloader(STREAMED).distribute_pipeline(
            load(embedded_home), MemoryPlan(STREAMED, "cpu", weight_dtype="nf4")
        )
