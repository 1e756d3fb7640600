"""CivitAI's facts about files that are here already, found by their hashes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..hubs import CivitAI
from ..hubs.hub_work import Cancelled, Progress
from ..models import Architecture, Family, Finding, LoRAKind, ModelKind, ModelMetadata
from ..models.metadata import MERGED_FIELDS, merge
from ..records import Record
from .registry import ModelRegistry

ASK_AGAIN_DAYS = 30
"""Days after which CivitAI is asked again about a hash that it did not know."""


@dataclass(frozen=True)
class EnrichReport(Record):
    """The result of `enrich`."""

    asked: int = 0
    """Number of hashes."""
    updated: tuple[str, ...] = ()
    """Ids of the models that facts were found for."""


def enrich(
    registry: ModelRegistry,
    civitai: CivitAI,
    on_progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> EnrichReport:
    """Ask CivitAI, by hash only, about every model with a known hash and no facts of a hub yet, and store its facts.

    Hashes that it does not know are not asked about again within `ASK_AGAIN_DAYS`. Each answer is stored as it comes,
    so that a failure or a cancelled call keeps the answers until then. Facts of the model's own files and of the user
    stay; see `with_hub_facts`.

    Args:
        on_progress: called with (hashes asked, hashes in all).

    Raises:
        HubError: as CivitAI's methods.
        HubCancelledError: `cancelled` returned True.
    """
    now = civitai.now()
    unknown = registry.store.hubs.unknown_hashes(now - ASK_AGAIN_DAYS * 86_400)
    waiting: dict[str, list[str]] = {}
    for model in registry.list_models():
        text = model.sha256 or model.autov3 or model.autov2
        if text and text.lower() not in unknown and model.source_id is None and model.source != "embedded":
            waiting.setdefault(text.lower(), []).append(model.model_id)
    updated: list[str] = []
    if waiting:
        for found in civitai.each_by_hashes(waiting, on_progress=on_progress, cancelled=cancelled):
            registry.store.hubs.put_unknown_hashes([text for text, facts in found.items() if facts is None], now)
            for text, facts in found.items():
                if facts is None:
                    continue
                for model_id in waiting[text]:
                    plain = registry.store.get_plain(model_id)
                    if plain is None:  # deleted while the hub was asked
                        continue
                    registry.store.hubs.put_facts(with_hub_facts(plain, facts), replace(facts, source=plain.source))
                    updated.append(model_id)
    return EnrichReport(asked=len(waiting), updated=tuple(updated))


def with_hub_facts(model: ModelMetadata, facts: ModelMetadata) -> ModelMetadata:
    """Return `model` with a hub's facts: lists joined, gaps filled, findings replaced by surer ones.

    Hashes, names, source and architecture stay the file's own, and the user's changes stay.
    """
    hashless = replace(facts, sha256=None, autov2=None, autov3=None)
    base = model.findings.get("base_model")
    set_by_user = model.base_model is not None and (base is None or base.value != model.base_model)
    joined = merge([model, replace(hashless, findings={}) if set_by_user else hashless])
    fits = (
        model.architecture in (facts.architecture, Architecture.UNKNOWN) or facts.architecture is Architecture.UNKNOWN
    )
    family = _surer(model, facts, "family") if fits else None
    kind = _surer(model, facts, "lora_kind") if model.kind is ModelKind.LORA else None
    findings = {**model.findings, **joined.findings}
    findings |= {name: found for name, found in (("family", family), ("lora_kind", kind)) if found}
    return replace(
        model,
        **{name: getattr(joined, name) for name in MERGED_FIELDS},
        base_model=model.base_model if set_by_user else joined.base_model,
        family=Family(family.value) if family else model.family,
        lora_kind=LoRAKind(kind.value) if kind else model.lora_kind,
        findings=findings,
    )


def _surer(model: ModelMetadata, facts: ModelMetadata, name: str) -> Finding | None:
    own, new = model.findings.get(name), facts.findings.get(name)
    if new is None or new.value == "unknown":
        return None
    value = str(getattr(model, name))
    if own is None:
        return new if value == "unknown" else None
    return new if own.value == value and new.confidence > own.confidence else None
