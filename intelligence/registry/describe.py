"""Records of model files, from header, sidecars, a hub's facts, and name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import UnsupportedModelError
from ..models.architecture import Words, identify_architecture, is_lora, lora_tensors
from ..models.evidence import evidence_in
from ..models.family_detection import identify_family, identify_lora_family
from ..models.file_messages import FileMessage as Text
from ..models.header_facts import header_facts, kept_entries, modelspec_tags
from ..models.headers import Header, read_header
from ..models.kinds import Architecture, Family, Finding, LoRAKind, ModelKind
from ..models.metadata import MERGED_FIELDS, ModelMetadata, merge
from ..models.name_patterns import lora_kind
from ..models.sanitize import clean_number
from .sidecars import read_sidecars
from .walk import PICKLED_SUFFIXES, FoundFile, encodable

UPSCALER_PICKLES = (".pth", ".pt")
"""Pickles in which most upscale models are published: only their tensors are ever read."""

DESCRIBE_VERSION = 5
"""Raised whenever `describe` finds more than before: files that an older version described are read again."""


def describe(file: FoundFile, facts: ModelMetadata | None = None) -> ModelMetadata:
    """Return the record of a file, with a hub's `facts` about it; one that cannot be used gets its `problem` named."""
    path = Path(file.path)
    record = ModelMetadata(
        model_id=file.model_id,
        name=encodable(path.stem),
        kind=file.kind,
        local_path=encodable(file.path),
        source=facts.source if facts else "local",
    )
    pickled = file.kind is ModelKind.UPSCALER and path.suffix.lower() in UPSCALER_PICKLES
    problem = None if pickled else _problem_by_name(file.path, path)
    if pickled or problem:
        return replace(record, size_bytes=file.stamp[0], problem=problem)
    try:
        header, size = read_header(path), path.stat().st_size
    except UnsupportedModelError as error:
        return replace(record, problem=str(error))
    except OSError as error:
        return replace(record, problem=_problem(path, Text.UNREADABLE.format(error=error.strerror)))
    if file.kind is ModelKind.LORA and not is_lora(header.shapes):
        return replace(record, problem=_problem(path, Text.NO_LORA))

    beside = {suffix: Path(sidecar) for suffix, sidecar in file.sidecars.items()}
    from_sidecars, ignored = read_sidecars(path.name, beside)
    stated = merge([from_sidecars, facts]) if facts else from_sidecars
    known = merge([stated, header_facts(header)])
    words = Words(stated.findings.get("base_model"), path.stem, known.title)
    architecture = identify_architecture(header, file.kind, words)
    findings = {**known.findings, "architecture": architecture}
    if ignored:
        findings["sidecars"] = Finding("; ".join(ignored), "scan", 1.0)
    fields: dict[str, Any] = {}
    if facts:
        fields["source_id"] = facts.source_id
    if known.sha256 and not known.autov2:
        fields["autov2"] = known.sha256[:10]
    if file.kind is ModelKind.LORA:
        findings["lora_kind"] = lora_kind(
            [path.stem, known.title], [*stated.tags, *modelspec_tags(header)], known.description
        )
        findings["family"] = identify_lora_family(
            path.stem,
            Architecture(architecture.value),
            known.findings.get("base_model"),
            header.metadata.get("ss_sd_model_name"),
            known.tags,
            speed=findings["lora_kind"].value == LoRAKind.SPEED,
        )
        fields |= _lora_fields(header, findings["lora_kind"])
    elif file.kind is ModelKind.CHECKPOINT:
        findings |= _checkpoint_findings(header, path.name, known.base_model)
    merged = {name: getattr(known, name) for name in MERGED_FIELDS}
    return replace(
        record,
        **merged | fields,
        base_model=known.base_model,
        size_bytes=size,
        digest=header.digest,
        architecture=Architecture(architecture.value),
        family=Family(findings["family"].value) if "family" in findings else Family.UNKNOWN,
        metadata=kept_entries(header),
        findings=findings,
    )


def _lora_fields(header: Header, kind: Finding) -> dict[str, Any]:
    tensors = lora_tensors(header.shapes)
    return {
        "lora_kind": LoRAKind(kind.value),
        "lora_type": tensors.type_name,
        "modules": tensors.modules,
        "rank": tensors.rank or int(clean_number(header.metadata.get("ss_network_dim"), 1, 65536) or 0) or None,
        "alpha": clean_number(header.metadata.get("ss_network_alpha"), 0, 1e4) or header.alpha,
    }


def _checkpoint_findings(header: Header, file_name: str, base_model: str | None) -> dict[str, Finding]:
    evidence = evidence_in(header, file_name, base_model)
    family = identify_family(evidence)
    findings = {"family": Finding(family.family, family.reason, family.confidence)}
    if evidence.prediction not in (None, "epsilon"):
        findings["prediction"] = Finding(str(evidence.prediction), "header", 0.95)
    return findings


def _problem_by_name(file_path: str, path: Path) -> str | None:
    if path.suffix.lower() in PICKLED_SUFFIXES:
        return _problem(path, Text.PICKLED_FILE)
    return _problem(path, Text.NAME_NOT_UTF8) if encodable(file_path) != file_path else None


def _problem(path: Path, problem: str) -> str:
    return Text.LEFT_OUT.format(file=encodable(path.name), problem=problem)
