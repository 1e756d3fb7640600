"""Records of models: all facts about one, and the summary that models are listed by."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

from ..records import Record
from .civitai_record import record_fields
from .kinds import Architecture, ExamplePrompt, Family, Finding, LoRAKind, ModelKind, TriggerSet

HUB_SOURCES = ("civitai", "huggingface")
"""Values of `source` of files that came from a hub."""


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """The fields of a registered model by which models are listed, filtered and named."""

    model_id: str
    name: str
    kind: ModelKind
    local_path: str
    source: str
    architecture: Architecture
    family: Family
    base_model: str | None
    lora_kind: LoRAKind
    problem: str | None
    sha256: str | None
    version: int
    """A number that no other state of this model's record has."""


@dataclass(frozen=True)
class ModelMetadata(Record):
    """All facts about one model."""

    model_id: str
    """`<kind>:<path relative to its root>` for local files; ComfyUI's own name follows the colon."""
    name: str
    """File name without its extension, as in `<lora:name:1>`."""
    kind: ModelKind = ModelKind.LORA
    local_path: str = ""
    """Absolute path; empty for a model that is not on this machine."""
    source: str = "local"
    """`local`, `huggingface`, `civitai` or `embedded`."""
    source_id: str | None = None
    architecture: Architecture = Architecture.UNKNOWN
    family: Family = Family.UNKNOWN
    base_model: str | None = None
    """The base model as its source names it (`Illustrious`, `sdxl_base_v1-0` …)."""
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
    """Short entries of the safetensors header (`modelspec.*`, some `ss_*`)."""
    findings: dict[str, Finding] = field(default_factory=dict)
    """Evidence for `architecture`, `family`, `lora_kind` …, by field name."""
    title: str = ""
    """The name that its maker gave it on a hub or in the header; empty: not known."""
    problem: str | None = None
    """Why this file cannot be used; None: it can. A model with a problem is listed, never chosen."""
    previous_ids: tuple[str, ...] = ()
    """Ids of this file before it was moved or renamed, the latest last."""
    strength_from_text: bool = False
    """True where the strength or its range was read from a description."""

    @classmethod
    def from_civitai(cls, record: Any, version: int | None = None) -> Self:
        """Return a model from its `/models/{id}` record, as CivitAI's API returns it.

        Args:
            version: the id of one of its versions; None: the newest version and its file, followed by the trigger sets
                and example prompts of the others for the same architecture.

        Raises:
            HubError: this is no record of CivitAI's API, has no such version, or is of a kind that the registry does
                not keep.
        """
        return cls(**record_fields(record, version))
