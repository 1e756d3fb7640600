"""What is known of one model file, each finding with its source."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from ..records import Record


class Architecture(StrEnum):
    """Shape of the network. LoRAs only fit their own architecture."""

    SD1 = "sd1"
    SD2 = "sd2"
    SDXL = "sdxl"
    SD3 = "sd3"
    FLUX = "flux"
    OTHER = "other"
    """Recognised as something else."""
    UNKNOWN = "unknown"


class Family(StrEnum):
    """What a checkpoint was trained into, within its architecture. Decides settings and quality tags."""

    SDXL = "sdxl"
    PONY = "pony"
    ILLUSTRIOUS = "illustrious"
    NOOBAI = "noobai"
    NOOBAI_VPRED = "noobai_vpred"
    TURBO = "turbo"
    LIGHTNING = "lightning"
    HYPER = "hyper"
    LCM = "lcm"
    DMD2 = "dmd2"
    SD15 = "sd15"
    SD2 = "sd2"
    UNKNOWN = "unknown"


class ModelKind(StrEnum):
    """What the file is loaded as."""

    CHECKPOINT = "checkpoint"
    LORA = "lora"
    VAE = "vae"
    EMBEDDING = "embedding"


class LoRAKind(StrEnum):
    """What a LoRA is for."""

    STYLE = "style"
    CHARACTER = "character"
    CONCEPT = "concept"
    EFFECT = "effect"
    SPEED = "speed"
    """Few-step distillation (Lightning, Hyper, LCM, DMD2): chosen by parameters, never by words."""
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Finding:
    """One fact about a model, where it comes from, and how sure it is."""

    value: str
    source: str
    confidence: float


@dataclass(frozen=True)
class TriggerSet:
    """Words that are used together to call a LoRA's subject or style."""

    words: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class ExamplePrompt:
    """A prompt that somebody used with the LoRA, and the strength used there."""

    prompt: str
    weight: float | None = None


@dataclass(frozen=True)
class ModelMetadata(Record):
    """One model, as the registry knows it."""

    model_id: str
    """Stable key: `<kind>:<path relative to its root>` for local files (ComfyUI's own name follows the colon)."""
    name: str
    """File name without its extension: what `<lora:name:1>` and people call it."""
    kind: ModelKind = ModelKind.LORA
    local_path: str = ""
    """Absolute path, or empty when the model is known but not on this machine."""
    source: str = "local"
    """`local`, `huggingface`, `civitai` or `embedded`."""
    source_id: str | None = None
    architecture: Architecture = Architecture.UNKNOWN
    family: Family = Family.UNKNOWN
    base_model: str | None = None
    """The base model as the source wrote it (`Illustrious`, `sdxl_base_v1-0` …)."""
    lora_kind: LoRAKind = LoRAKind.UNKNOWN
    lora_type: str | None = None
    """`lora`, `locon`, `loha`, `lokr` or `dora`."""
    rank: int | None = None
    alpha: float | None = None
    trigger_sets: tuple[TriggerSet, ...] = ()
    tags: dict[str, int] = field(default_factory=dict)
    """Training or hub tags with their frequency."""
    description: str = ""
    strength: float | None = None
    """Recommended strength."""
    strength_range: tuple[float, float] | None = None
    example_prompts: tuple[ExamplePrompt, ...] = ()
    preview_path: str | None = None
    creator: str | None = None
    license_notes: str | None = None
    size_bytes: int = 0
    sha256: str | None = None
    autov2: str | None = None
    autov3: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    """The safetensors header's own short entries that later stages read (`modelspec.*`, some `ss_*`)."""
    findings: dict[str, Finding] = field(default_factory=dict)
    """Evidence for `architecture`, `family`, `lora_kind` …, by field name."""
    title: str = ""
    """The name that its maker gave it on a hub or in the header; empty when none is known."""
    problem: str | None = None
    """Why this file cannot be used, or None. A model with a problem is listed, never offered."""
    previous_ids: tuple[str, ...] = ()
    """Ids under which this file was known before it was moved or renamed, the latest last."""
