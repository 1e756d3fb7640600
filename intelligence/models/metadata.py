"""Records of models: all facts about one, the summary that models are listed by, and partial records merged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self, TypeVar

from ..records import Record
from .civitai_record import record_fields
from .fields import MAX_EXAMPLES, MAX_TAGS, MAX_TRIGGER_SETS
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
    modules: str
    excluded: bool
    digest: str | None
    version: int
    """A number that no other state of this model's record has."""


class _HasDigest(Protocol):
    @property
    def digest(self) -> str | None: ...


Copied = TypeVar("Copied", bound=_HasDigest)


def without_copies(models: Iterable[Copied]) -> list[Copied]:
    """Return the models, and of copies of one file only the first."""
    first: dict[str, Copied] = {}
    return [model for model in models if model.digest is None or first.setdefault(model.digest, model) is model]


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
    """See `architecture.lora_type`."""
    rank: int | None = None
    alpha: float | None = None
    trigger_sets: tuple[TriggerSet, ...] = ()
    tags: dict[str, int] = field(default_factory=dict)
    """Training or hub tags with their frequency."""
    description: str = ""
    strength: float | None = None
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
    modules: str = ""
    """Digest of the weights that a LoRA changes, see `modules_digest`; empty: not known."""
    strength_clip: float | None = None
    """Strength for the text encoder; None: that of the model."""
    excluded: bool = False
    """True where its user, here or in another manager, never wants it chosen; naming it still applies it."""
    favourite: bool = False
    digest: str | None = None
    """Digest of the file's size, header, and both ends of its tensors: equal under any name and date."""

    @classmethod
    def from_civitai(cls, record: Any, version: int | None = None) -> Self:
        """Return a model from its `/models/{id}` record, as CivitAI's API returns it.

        Args:
            version: id of a version, which counts alone. None: the newest version and its file, to which the other
                versions for the same architecture add their trigger sets, example prompts, and a strength where it has
                none.

        Raises:
            HubError: this is no record of CivitAI's API, has no such version, or is of a kind that the registry does
                not keep.
        """
        return cls(**record_fields(record, version))


_FIRST_WINS = (
    "source_id",
    "description",
    "strength",
    "strength_range",
    "strength_clip",
    "excluded",
    "favourite",
    "preview_path",
    "creator",
    "license_notes",
    "sha256",
    "autov2",
    "autov3",
    "title",
)

MERGED_FIELDS = (*_FIRST_WINS, "tags", "trigger_sets", "example_prompts", "strength_from_text")
"""Fields that `merge` fills, besides the base model."""

EMPTY = ModelMetadata(model_id="", name="")


def merge(partials: Sequence[ModelMetadata]) -> ModelMetadata:
    """Return one record with joined lists and tags, the surest base model, and the first value of other fields."""
    partials = [part for part in partials if part is not EMPTY]
    if len(partials) <= 1:
        return partials[0] if partials else EMPTY
    fields: dict[str, Any] = {
        name: next((value for part in partials if (value := getattr(part, name))), getattr(EMPTY, name))
        for name in _FIRST_WINS
    }
    tags: dict[str, int] = {}
    sets: dict[tuple[str, ...], TriggerSet] = {}
    examples: dict[str, ExamplePrompt] = {}
    for part in partials:
        for tag, count in part.tags.items():
            tags[tag] = max(count, tags.get(tag, 0))
        for item in part.trigger_sets:
            sets.setdefault(tuple(word.casefold() for word in item.words), item)
        for example in part.example_prompts:
            examples.setdefault(example.prompt, example)
    fields["strength_from_text"] = next(
        (p.strength_from_text for p in partials if p.strength or p.strength_range), False
    )
    findings = [finding for part in partials if (finding := part.findings.get("base_model"))]
    if findings:
        best = max(findings, key=lambda finding: finding.confidence)
        fields |= {"base_model": best.value, "findings": {"base_model": best}}
    return ModelMetadata(
        model_id="",
        name="",
        tags=dict(list(tags.items())[:MAX_TAGS]),
        trigger_sets=tuple(sets.values())[:MAX_TRIGGER_SETS],
        example_prompts=tuple(examples.values())[:MAX_EXAMPLES],
        **fields,
    )
