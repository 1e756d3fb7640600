"""Newer versions on CivitAI of models that are here, asked for only when the user wants to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..hubs import CivitAI
from ..hubs.hub_work import Cancelled, Progress
from ..models.civitai_record import file_of
from ..models.metadata import ModelMetadata
from ..models.name_patterns import architecture_named
from ..models.sanitize import clean_text, dicts
from ..records import Record
from .registry import ModelRegistry


@dataclass(frozen=True)
class NewerVersion(Record):
    """A version on the hub that is newer than a model here, for the same architecture."""

    model_id: str
    """Of the model here."""
    title: str
    version_name: str
    published: str
    """Date, as CivitAI gives it."""
    reference: str
    """Names it for `register_from_reference` and `python -m intelligence get`."""


@dataclass(frozen=True)
class UpdateReport(Record):
    """The result of `newer_versions`."""

    asked: int = 0
    """Models of the hub that were asked about."""
    newer: tuple[NewerVersion, ...] = ()


def newer_versions(
    registry: ModelRegistry,
    civitai: CivitAI,
    on_progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> UpdateReport:
    """Ask CivitAI, by the numbers of its models only, for newer versions of the models that came from there.

    Args:
        on_progress: called with (models asked, models in all).

    Raises:
        HubError: as CivitAI's methods.
    """
    here: dict[int, dict[int, ModelMetadata]] = {}
    for model in registry.list_models():
        model_id, _, version = (model.source_id or "").partition(":")
        if model_id.isdecimal() and version.isdecimal():
            here.setdefault(int(model_id), {})[int(version)] = model
    newer = [
        found
        for records in civitai.each_model(here, on_progress=on_progress, cancelled=cancelled)
        for record in records
        if (found := _newer(record, here.get(record.get("id", 0), {})))
    ]
    return UpdateReport(len(here), tuple(newer))


def _newer(record: Mapping[str, Any], here: Mapping[int, ModelMetadata]) -> NewerVersion | None:
    """Return the newest version, where it is not here but an older one for its architecture is."""
    versions = dicts(record.get("modelVersions"), 1000)  # the newest first
    for place, version in enumerate(versions):
        older = [here[item["id"]] for item in versions[place + 1 :] if item.get("id") in here]
        made_for = architecture_named(clean_text(version.get("baseModel"), 100))
        same = [model for model in older if model.architecture is made_for]
        if version.get("id") in here:
            return None
        if same and isinstance(version.get("id"), int) and file_of(version):
            return NewerVersion(
                same[0].model_id,
                clean_text(record.get("name"), 200),
                clean_text(version.get("name"), 100),
                clean_text(version.get("publishedAt") or version.get("createdAt"), 40),
                f"civitai:{record['id']}@{version['id']}",
            )
    return None
