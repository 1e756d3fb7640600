"""JSON of generations in little space: what several share is stored once, and details can be left out."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import InvalidInputError

SHARED = (
    "plan.recommendations.suggested_loras.*.lora_metadata",
    "base_model",
    "other_loras.*.file",
    "plan.recommendations.prompt_analysis",
    "plan.recommendations.model",
    "plan.recommendations.family",
    "plan.recommendations",
    "plan.memory",
    "@settings",
    "plan.recommendations.suggested_params",
    "plan",
)
"""Places in a `Generation`'s JSON of what others repeat; a place is listed after those inside it. A new place is
appended; none is ever removed, since stored rows are read by this list."""

_EARLIER = ("plan.recommendations.prompt_analysis", "plan.recommendations.suggested_params", "plan")

_PATHS = {path: (path.split(".")[:-1], path.split(".")[-1]) for path in SHARED}

WRITTEN = tuple(path for path in SHARED if path not in _EARLIER)
"""Places that are shared when a row is written: an analysis takes less beside the prompt that is made of it."""

_DETAILS = """
    reasons rejected nearest notes segments refused_tags explanation reasoning strength_range findings metadata
    description example_prompts tags trigger_sets license_notes rank alpha size_bytes resident reserved_gb stages
    next_faster next_smaller gives_way image_digests estimated_time_seconds estimated_vram_gb estimated_quality_score
    time_interval_seconds timing_key decode_items forward_items forward_items_interval predicted_peak_gb budget_gb
    needed_gb context_gb seconds speed_learned peak_vram_gb applied patches run_id offered postprocess estimated_seconds
"""
DETAILS = frozenset(_DETAILS.split())
"""Fields, at any depth, that say why and how well, not what was made with what."""

MEASURED = ("generation_time_seconds",)
"""Fields of which two digits are enough."""

REQUIRED = frozenset(("prompt", "suggested_loras", "seeds", "image_ids", "lora_name"))
"""Fields that records need, even empty."""

PROMPT_WORDS = frozenset(
    (
        "prompt",
        "negative_prompt",
        "text",
        "segments",
        "negated",
        "concepts",
        "lora_tags",
        "matching_concepts",
        "quality_family",
    )
)
"""Fields that hold words of a prompt, beside `DETAILS`."""

SETTINGS, _SETTINGS = "suggested_params", "@settings"
"""Settings in the recommendations, and beside them in a stored row: one choice is run with many settings."""

SHORTEST_SHARED = 48
"""Characters of JSON from which a part is stored once."""

REFERENCE = "@"


def shared_part(value: Any) -> bool:
    return isinstance(value, dict) and REFERENCE not in value and len(_text(value)) >= SHORTEST_SHARED


def pack(value: Any) -> bytes:
    """Return JSON compressed with a dictionary of a generation's usual words. Raises InvalidInputError."""
    work = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=_dictionary())
    return work.compress(_text(value).encode("utf-8", "surrogatepass")) + work.flush()


def unpack(body: bytes) -> Any:
    """Return what `pack` took. Raises ValueError for anything else."""
    problem: ValueError | zlib.error | None = None
    for words in (_dictionary(), _first_dictionary()):
        work = zlib.decompressobj(-15, zdict=words)
        try:
            return json.loads((work.decompress(body) + work.flush()).decode("utf-8", "surrogatepass"))
        except (zlib.error, ValueError) as error:
            problem = problem or error
    raise ValueError(f"not compressed JSON: {problem}")


def shrunk(value: Any) -> Any:
    """Return JSON of a record without `DETAILS` and without empty fields, which records read as their defaults."""
    if isinstance(value, list):
        return [shrunk(item) for item in value]
    if not isinstance(value, dict):
        return value
    value = {**value, **{name: round(value[name], 2) for name in MEASURED if isinstance(value.get(name), float)}}
    kept = {name: shrunk(item) for name, item in value.items() if name not in DETAILS}
    empty: tuple[Any, ...] = (None, "", [], {})
    return {name: item for name, item in kept.items() if name in REQUIRED or item not in empty}


def without_prompt(value: Any) -> Any:
    """Return JSON of a record, shrunk, without the words of its prompts."""
    return _blanked(shrunk(value))


def _blanked(value: Any) -> Any:
    if isinstance(value, list):
        return [_blanked(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {name: _blanked(item) for name, item in value.items() if name not in PROMPT_WORDS}
    return {**kept, "prompt": ""} if "prompt" in value else kept


class SharedParts:
    """The table `parts` (id, digest, uses, body) of an open database."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._known: dict[int, Any] = {}
        """Parts that were read and hold no other."""

    def put(self, data: dict[str, Any]) -> bytes:
        """Return the packed row of a generation's JSON, its shared parts stored and counted."""
        copy = json.loads(_text(data))
        holder = _recommendations(copy)
        if isinstance(holder.get(SETTINGS), dict):
            copy[_SETTINGS] = holder.pop(SETTINGS)
        for path in WRITTEN:
            for holder, name in _places(copy, path):
                if shared_part(holder[name]):
                    holder[name] = {REFERENCE: self._add(pack(holder[name]))}
        return pack(copy)

    def get(self, body: bytes) -> dict[str, Any]:
        """Return the JSON of a packed row; {} where the row or a part of it is damaged."""
        try:
            found: dict[str, Any] = unpack(body)
            for path in reversed(SHARED):
                for holder, name in _places(found, path):
                    if (part := _referenced(holder[name])) is not None:
                        holder[name] = self._read(part)
        except ValueError:
            return {}
        if _SETTINGS in found:
            _recommendations(found)[SETTINGS] = found.pop(_SETTINGS)
        return found

    def release(self, body: bytes) -> None:
        """Give up the parts that a packed row names; those that no other row names are deleted."""
        with suppress(ValueError):  # a damaged row names no part that can be told
            found = unpack(body)
            for path in reversed(SHARED):
                for holder, name in _places(found, path):
                    if (part := _referenced(holder[name])) is not None:
                        holder[name] = self._give_up(part)

    def _add(self, body: bytes) -> int:
        """Store a part, or count one more use of it, in which case the parts inside it are not used once more."""
        digest = hashlib.blake2b(body, digest_size=12).digest()
        row = self._db.execute("SELECT id FROM parts WHERE digest = ?", (digest,)).fetchone()
        if row is None:
            cursor = self._db.execute("INSERT INTO parts (digest, uses, body) VALUES (?, 1, ?)", (digest, body))
            return int(cursor.lastrowid or 0)
        self._db.execute("UPDATE parts SET uses = uses + 1 WHERE id = ?", (row[0],))
        self._release_inside(body)
        return int(row[0])

    def _release_inside(self, body: bytes) -> None:
        """Take back the uses that were counted for the parts inside a part that is stored already."""
        whole = {"plan": {"recommendations": unpack(body)}}
        for path in SHARED:
            for holder, name in _places(whole, path):
                if (part := _referenced(holder[name])) is not None:
                    self._db.execute("UPDATE parts SET uses = uses - 1 WHERE id = ?", (part,))

    def _read(self, part: int) -> Any:
        if part in self._known:
            return self._known[part]
        row = self._db.execute("SELECT body FROM parts WHERE id = ?", (part,)).fetchone()
        if row is None:
            raise ValueError(f"part {part} is lost")
        found = unpack(row[0])
        if not _holds_parts(found):
            self._known[part] = found
        return found

    def _give_up(self, part: int) -> Any:
        """Return the content of a part of which this was the last use, deleted now; {} where others use it too."""
        row = self._db.execute("SELECT uses, body FROM parts WHERE id = ?", (part,)).fetchone()
        if row is None:
            return {}
        uses, body = row
        if uses > 1:
            self._db.execute("UPDATE parts SET uses = uses - 1 WHERE id = ?", (part,))
            return {}
        self._db.execute("DELETE FROM parts WHERE id = ?", (part,))
        return unpack(body)


def _holds_parts(value: Any) -> bool:
    return isinstance(value, dict) and ("suggested_loras" in value or "prompt_analysis" in value)


def _recommendations(data: dict[str, Any]) -> dict[str, Any]:
    """Return the recommendations in a generation's JSON; an empty dictionary where there are none."""
    plan = data.get("plan")
    found = plan.get("recommendations") if isinstance(plan, dict) else None
    return found if isinstance(found, dict) else {}


def _referenced(value: Any) -> int | None:
    return value[REFERENCE] if isinstance(value, dict) and isinstance(value.get(REFERENCE), int) else None


def _places(data: Any, path: str) -> Iterator[tuple[Any, Any]]:
    """Yield (container, key) of every value at a dotted path; `*` stands for every item of a list."""
    holders, last = _PATHS[path]
    found = [data]
    for name in holders:
        if name == "*":
            found = [item for one in found if isinstance(one, list) for item in one]
        else:
            found = [one[name] for one in found if isinstance(one, dict) and name in one]
    for one in found:
        if isinstance(one, dict) and last in one:
            yield one, last


def _text(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"a generation is stored as JSON: {error}") from None


@cache
def _dictionary() -> bytes:
    """The usual words of a generation's JSON. The file is never changed: stored rows are read with it."""
    return Path(__file__).with_name("stored_words.txt").read_bytes()


@cache
def _first_dictionary() -> bytes:
    """The words that rows of the first lean stores were packed with."""
    return Path(__file__).with_name("stored_words_first.txt").read_bytes()
