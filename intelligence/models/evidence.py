"""Evidence of a base model that a host has loaded or names, or in a checkpoint's header, and the family found by it."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field

from ..config import AUTO, require
from ..records import Record
from ..validation import did_you_mean
from .architecture import Words, identify_architecture
from .headers import Header
from .kinds import UNETS, Architecture, Family, Finding, LoRAKind, ModelKind
from .latents import LatentKind
from .name_patterns import names_v_prediction

SIGMA_MAX = 14.6146
"""Largest sigma of the schedule that SD 1, SD 2 and SDXL were trained with."""

ZERO_TERMINAL_SIGMA = 4518.8
"""Largest sigma of that schedule, rescaled to zero terminal SNR as in ComfyUI."""

_ZERO_TERMINAL_FROM = 100.0

EDM_KEYS = ("edm_mean", "edm_vpred.sigma_max")
V_PREDICTION_KEY = "v_pred"
ZERO_TERMINAL_KEY = "ztsnr"
"""Tensor names by which ComfyUI recognises how a checkpoint predicts."""

PREDICTION_ENTRY = "modelspec.prediction_type"
V_PREDICTION_VALUES = ("v", "v_prediction")


@dataclass(frozen=True)
class AppliedLoRA(Record):
    """A LoRA that the host has on a loaded model already."""

    name: str = ""
    """File name; empty for one that is not in the library."""
    model_id: str = ""
    """Id in the registry; empty: not known."""
    strength: float = 1.0
    modules: int = 0
    """Number of weights of the diffusion network that it changes."""
    kind: LoRAKind = LoRAKind.UNKNOWN
    family: Family = Family.UNKNOWN
    """Kind and family of the file in the library."""
    confidence: float = 0.0
    """Certainty of the name, 0 to 1: 1 where values of the file's tensors were compared, 0 without a name."""


@dataclass(frozen=True)
class ModelPatch(Record):
    """A change to how a loaded model samples, made by a node before."""

    slot: str
    """Place that is patched, in the host's words: `model_sampling`, `sampler_cfg_function`, `attn1` …"""
    name: str
    """Class of the node that patched it, or of the object that was put there: `RescaleCFG`, `PerturbedAttention` …"""


@dataclass(frozen=True)
class ModelEvidence(Record):
    """Evidence of a loaded or named base model."""

    name: str = ""
    """File name or hub id; empty where the host does not know it."""
    path: str | None = None
    architecture: Architecture = Architecture.UNKNOWN
    prediction: str | None = None
    """`epsilon`, `v_prediction`, `flow` or `edm` (continuous noise levels, as Playground v2.5 and CosXL have them);
    None where the model is not loaded and its header does not say."""
    sigma_max: float | None = None
    """Largest sigma of the model's schedule; None: not known."""
    metadata: dict[str, str] = field(default_factory=dict)
    """Safetensors header entries."""
    base_model: str | None = None
    """The base model that the registry or a hub names."""
    family: Family = Family.UNKNOWN
    """Set by the user to override detection; UNKNOWN: detect."""
    loras: tuple[str, ...] = ()
    """File names of LoRAs that the host has on the model already, besides those that are chosen here."""
    model_class: str = ""
    """Name of the class that the host runs it with (in `comfy.supported_models`, in diffusers); empty: not loaded."""
    shift: float | None = None
    """Shift of the loaded model's flow schedule; None: it has none, or is not loaded."""
    own_sampling: bool = False
    """True where the graph has set the loaded model's sampling itself (a ModelSampling node): its shift stays."""
    embedded_guidance: bool | None = None
    """True where the network reads a guidance value (Flux.1 dev); None: not loaded."""
    latent: LatentKind | None = None
    """Latent of the loaded model; None: not loaded."""
    applied: tuple[AppliedLoRA, ...] = ()
    """LoRAs found on the loaded model itself, in the order in which they were applied."""
    patches: tuple[ModelPatch, ...] = ()
    """Changes to how the loaded model samples, in the order of their slots."""
    clip_layer: int | None = None
    """Layer of the text encoders that the graph has set, as `clip_skip` counts; None: the model's own."""
    edition: Family = Family.UNKNOWN
    """The edition that the network itself shows, by a part that the others lack; UNKNOWN: it shows none."""

    @property
    def zero_terminal_snr(self) -> bool:
        """True where the schedule is known to start far above the usual 14.6."""
        return (self.sigma_max or 0.0) > _ZERO_TERMINAL_FROM


@dataclass(frozen=True)
class FamilyFinding(Record):
    """The family of a base model, with confidence (0 to 1) and reason."""

    family: Family
    architecture: Architecture
    confidence: float
    reason: str
    zsnr: bool = False
    """Zero terminal SNR: the schedule starts far above the usual 14.6."""
    few_steps: int | None = None
    """The step count that a distilled checkpoint was made for, when its name says so."""
    base: Family = Family.UNKNOWN
    """The family that a distilled checkpoint was made from, when its name says so: its quality tags still count."""
    variant: str = ""
    """A variant with settings of its own: `guided` for a distillation that keeps CFG, `merge` for a fine-tune on Turbo,
    `speed` for a checkpoint of another network that a speed LoRA was merged into, `flow` and `embedded` (guidance
    value) for a network of no known family."""


def evidence_in(header: Header, file_name: str, base_model: str | None = None) -> ModelEvidence:
    """Return what the header and name of a single-file checkpoint say of it.

    An SDXL checkpoint that says it predicts v by its name or ModelSpec entry alone is taken to have zero terminal SNR,
    as NoobAI v-pred has. `base_model` is the one that a hub or sidecar names.
    """
    words = Words(Finding(base_model, "hub", 1.0) if base_model else None, file_name)
    architecture = Architecture(identify_architecture(header, ModelKind.CHECKPOINT, words).value)
    prediction = prediction_in(header.shapes, header.metadata)
    if prediction is None and architecture is Architecture.SDXL:
        names = () if PREDICTION_ENTRY in header.metadata else (header.metadata.get("modelspec.title", ""), file_name)
        prediction = "v_prediction" if any(map(names_v_prediction, names)) else "epsilon"
    zero_terminal = ZERO_TERMINAL_KEY in header.shapes or (
        architecture is Architecture.SDXL and prediction == "v_prediction" and V_PREDICTION_KEY not in header.shapes
    )
    sigma_max = ZERO_TERMINAL_SIGMA if zero_terminal else SIGMA_MAX
    return ModelEvidence(
        name=file_name,
        architecture=architecture,
        prediction=prediction,
        sigma_max=None if prediction == "edm" or architecture not in UNETS else sigma_max,
        metadata=header.metadata,
        base_model=base_model,
        edition=edition_in(header.shapes, architecture),
    )


def edition_in(keys: Container[str], architecture: Architecture) -> Family:
    """Return the edition that a whole model's tensor names show, or UNKNOWN [ComfyUI comfy/model_detection.py]."""

    def has(name: str) -> bool:
        return any(f"{prefix}{name}" in keys for prefix in ("", "model.diffusion_model.", "diffusion_model."))

    if architecture is Architecture.FLUX and has("double_blocks.0.img_attn.norm.key_norm.scale"):
        return Family.UNKNOWN if has("guidance_in.in_layer.weight") else Family.FLUX_SCHNELL
    if architecture is Architecture.SD3 and has("joint_blocks.0.x_block.attn2.qkv.weight"):
        return Family.SD35_MEDIUM
    if architecture is Architecture.QWEN_IMAGE and has("__index_timestep_zero__"):
        return Family.QWEN_IMAGE_EDIT
    return Family.UNKNOWN


def prediction_in(keys: Container[str], metadata: Mapping[str, str]) -> str | None:
    """Return `edm` or `v_prediction` where a checkpoint's tensor names or ModelSpec entry say so, else None."""
    if any(key in keys for key in EDM_KEYS):
        return "edm"
    if V_PREDICTION_KEY in keys or metadata.get(PREDICTION_ENTRY) in V_PREDICTION_VALUES:
        return "v_prediction"
    return None


def named_family(name: str | None) -> Family:
    """Return the family that a user names; UNKNOWN where none is (None, empty, `auto`).

    Raises InvalidInputError for any other name that is no family.
    """
    near, known = did_you_mean(str(name), Family), ", ".join(Family)
    require(name in (None, "", AUTO, *Family), f"model_family must be one of {known}, got {name!r}{near}")
    return Family.UNKNOWN if name in (None, "", AUTO) else Family(name)
