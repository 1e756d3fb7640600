"""Choices for tests: models, devices, an optimizer that knows an A100's speed."""

from dataclasses import dataclass

from intelligence.config import GenerationConstraints
from intelligence.learning import Timing
from intelligence.memory import MemoryRequest, Resources
from intelligence.models import Architecture, ModelEvidence, ModelMetadata
from intelligence.parameters import ParameterOptimizer, ParameterRequest
from intelligence.parameters.workload import COSTS, decode_tflop, forward_tflop
from intelligence.prompt import ArtisticStyle, ContentType, Intent, PromptAnalysis

GPU = Resources("cuda", "Test GPU", 24, 22, 64, 48)
CPU = Resources("cpu", "Test CPU", 32, 24, 32, 24)
SDXL = ModelEvidence(name="sd_xl_base_1.0.safetensors", architecture=Architecture.SDXL)
MERGE = ModelEvidence(name="merge.safetensors", architecture=Architecture.SDXL)
LIGHTNING = ModelEvidence(name="sdxl_lightning_8step.safetensors", architecture=Architecture.SDXL)
VPRED = ModelEvidence(
    name="noobaiXL_vpred.safetensors",
    architecture=Architecture.SDXL,
    prediction="v_prediction",
    sigma_max=4518.8,
)
TFLOPS = 122.6


def ran(width, height, items):
    """A run on an A100 [30 steps of CFG at 1024² take 3.31 s]."""
    cost = COSTS[Architecture.SDXL]
    item, decode = forward_tflop(width, height, cost) / TFLOPS, decode_tflop(width, height, cost) / TFLOPS
    return Timing(width, height, 1, items, items // 2, item, item * items + decode + 0.3)


RUNS = [ran(*size, 40) for size in ((1024, 1024), (832, 1216), (768, 768))] * 6
A100 = ParameterOptimizer(timings=lambda key: RUNS)


@dataclass
class Chosen:
    lora_metadata: ModelMetadata


def analysis(style=ArtisticStyle.PHOTOREALISTIC, content=ContentType.PORTRAIT, **values):
    return PromptAnalysis("a prompt", intent=Intent(style, content), **values)


def choose(constraints=None, optimizer=A100, prompt=None, **values):
    memory = MemoryRequest(images=values.pop("images", 1))
    values = {"model": SDXL, "resources": GPU, "memory": memory} | values
    return optimizer.choose(ParameterRequest(prompt or analysis(), constraints or GenerationConstraints(), **values))


def reason(parameters, what):
    return next(item for item in parameters.reasons if item.setting == what)
