"""The user's word about models: corrections of what files, sidecars and hubs say, kept apart from the registry.

registry.db can be rebuilt from the files; corrections cannot, so they have a database of their own beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

from ..config import MAX_LORA_STRENGTH, require
from ..database import Database, recovering
from ..errors import InvalidInputError
from ..models.fields import MAX_TRIGGER_SETS, trigger_sets
from ..models.kinds import (
    ARCHITECTURE_TITLES,
    ARCHITECTURES,
    BASE_FAMILIES,
    DISTILLED,
    TITLES,
    Architecture,
    Family,
    Finding,
    LoRAKind,
    ModelKind,
)
from ..models.metadata import ModelMetadata
from ..models.name_patterns import architecture_named, match_family, words_of
from ..records import Record
from ..validation import bounds, validated

CORRECTIONS_FILE = "corrections.db"

MIGRATIONS = (
    """
    CREATE TABLE corrections (
        key TEXT PRIMARY KEY,
        model_id TEXT NOT NULL,
        correction TEXT NOT NULL
    );
    """,
)

SOURCE = "you"
"""Source of corrected fields in a record's findings."""


@dataclass(frozen=True)
class Correction(Record):
    """The user's word about one model; None: not corrected."""

    base: str | None = None
    """A family (`pony`), an architecture (`sdxl`), or a base model's name (`Illustrious`)."""
    kind: LoRAKind | None = None
    triggers: tuple[str, ...] | None = None
    """Trigger words, a set an item, its words separated by commas; empty: it has none."""
    strength: Annotated[float, bounds(strict=True, ge=-MAX_LORA_STRENGTH, le=MAX_LORA_STRENGTH)] | None = None
    strength_clip: Annotated[float, bounds(strict=True, ge=-MAX_LORA_STRENGTH, le=MAX_LORA_STRENGTH)] | None = None
    exclude: bool | None = None
    favourite: bool | None = None

    def to_plain(self) -> dict[str, Any]:
        """Return the corrected fields as JSON types."""
        return {name: value for name, value in self.to_dict().items() if value is not None and name in NAMES}


NAMES = tuple(field.name for field in fields(Correction))

LORA_ONLY = ("kind", "triggers", "strength", "strength_clip")


def changed_correction(model: ModelMetadata, before: Correction, changes: Mapping[str, Any]) -> Correction:
    """Return `before` with `changes`, checked for `model`; None takes a correction back. Raises InvalidInputError."""
    for name, value in changes.items():
        require(name in NAMES, f"{name} cannot be corrected; what can: {', '.join(NAMES)}")
        require(
            value is None or name not in LORA_ONLY or model.kind is ModelKind.LORA,
            f"only a LoRA has {'trigger words' if name == 'triggers' else f'a {name}'}; {model.name} is a {model.kind}",
        )
    given = dict(changes)
    if given.get("triggers") is not None:
        given["triggers"] = _trigger_texts(given["triggers"])
    if isinstance(given.get("base"), str):
        given["base"] = given["base"].strip()
        named_base(given["base"])
    for name in ("exclude", "favourite"):
        require(given.get(name) in (True, False, None), f"{name} must be true or false, got {given.get(name)!r}")
    return validated(Correction, {**before.to_plain(), **given})


def named_base(text: str) -> tuple[Architecture, Family]:
    """Return the architecture and family that a base model's name means. Raises InvalidInputError for no known one."""
    words = words_of(text)
    for architecture, title in ARCHITECTURE_TITLES.items():
        if words in (words_of(architecture), words_of(title)) and title != "unknown":
            return architecture, BASE_FAMILIES.get(architecture, Family.UNKNOWN)
    for family, title in TITLES.items():
        if words in (words_of(family), words_of(title)) and family in ARCHITECTURES:
            return ARCHITECTURES[family], family
    architecture = architecture_named(text)
    if architecture in (Architecture.UNKNOWN, Architecture.OTHER):
        known = (*ARCHITECTURES, *(item for item in ARCHITECTURE_TITLES if ARCHITECTURE_TITLES[item] != "unknown"))
        raise InvalidInputError(
            f"base {text[:80]!r} names no known base model; give one of {', '.join(dict.fromkeys(map(str, known)))}"
        )
    found = match_family(text, architecture, DISTILLED)
    return architecture, found.family if found else BASE_FAMILIES.get(architecture, Family.UNKNOWN)


def corrected(record: ModelMetadata, correction: Correction | None) -> ModelMetadata:
    """Return the record with the user's word over everything else, and named in its findings."""
    if correction is None:
        return record
    changes: dict[str, Any] = {}
    findings: dict[str, str] = {}
    if correction.base is not None:
        try:
            architecture, family = named_base(correction.base)
        except InvalidInputError:  # named by another version
            architecture, family = record.architecture, record.family
        changes |= {"base_model": correction.base, "architecture": architecture, "family": family}
        findings |= {"base_model": correction.base, "architecture": architecture, "family": family}
    if correction.kind is not None:
        changes["lora_kind"] = findings["lora_kind"] = correction.kind
    if correction.triggers is not None:
        changes["trigger_sets"] = trigger_sets(correction.triggers, SOURCE)
        findings["trigger_sets"] = "; ".join(correction.triggers)
    if correction.strength is not None:
        changes |= {"strength": correction.strength, "strength_from_text": False}
        findings["strength"] = str(correction.strength)
    if correction.strength_clip is not None:
        changes["strength_clip"] = correction.strength_clip
        findings["strength_clip"] = str(correction.strength_clip)
    for name, field in (("exclude", "excluded"), ("favourite", "favourite")):
        if (value := getattr(correction, name)) is not None:
            changes[field] = value
            findings[field] = "yes" if value else "no"
    found = {name: Finding(str(value), SOURCE, 1.0) for name, value in findings.items()}
    return replace(record, **changes, findings={**record.findings, **found})


def _trigger_texts(given: Any) -> tuple[str, ...]:
    require(
        isinstance(given, Sequence) and not isinstance(given, (str, bytes)) and len(given) <= MAX_TRIGGER_SETS,
        f"triggers must be a list of up to {MAX_TRIGGER_SETS} sets of trigger words, got {str(given)[:80]!r}",
    )
    texts = [item if isinstance(item, str) else ", ".join(map(str, item)) for item in given]
    sets = trigger_sets(texts, SOURCE)
    return tuple(", ".join(item.words) for item in sets)


@recovering
class CorrectionStore:
    """Corrections in one SQLite file, by the digest of the corrected file's content (else by the model's id)."""

    def __init__(self, path: Path) -> None:
        self.database = Database(path, MIGRATIONS, synchronous="FULL")

    def close(self) -> None:
        self.database.close()

    def every(self) -> dict[str, dict[str, Any]]:
        """Return key → the corrected fields, as JSON types."""
        with self.database.read() as db:
            return {key: json.loads(text) for key, text in db.execute("SELECT key, correction FROM corrections")}

    def put(self, key: str, model_id: str, correction: dict[str, Any]) -> None:
        """Store a correction; an empty one is forgotten."""
        with self.database.transaction() as db:
            if correction:
                values = (key, model_id, json.dumps(correction, ensure_ascii=False))
                db.execute("INSERT OR REPLACE INTO corrections VALUES (?, ?, ?)", values)
            else:
                db.execute("DELETE FROM corrections WHERE key = ?", (key,))


def correction_key(model_id: str, digest: str | None) -> str:
    """Return the key of a model's corrections."""
    return digest or f"id:{model_id}"
