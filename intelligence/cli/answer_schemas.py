"""JSON schemas of what commands print with --json."""

from __future__ import annotations

import sys
from typing import Any

if sys.version_info >= (3, 12):
    from typing import TypedDict
else:
    from typing_extensions import TypedDict  # pydantic's, which needs it there


class TakenBack(TypedDict):
    """A rating that was taken back, or was not there."""

    id: str
    removed: bool


class Picked(TypedDict):
    """A picture that was named the best of its batch."""

    id: str
    noticed: bool


class Foretold(TypedDict):
    """A job list that nothing was made of."""

    jobs: int
    pictures: int
    same_as_another: int
    setups: int
    predicted_seconds: float


class Script(TypedDict):
    """A script for a shell."""

    shell: str
    script: str


def answer_schema(command: str) -> dict[str, Any]:
    """Return the JSON schema of the answer of a command; an error is `{"error": sentence, "kind": class}`."""
    from pydantic import TypeAdapter

    schema = TypeAdapter(_answer_types()[command]).json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": command}


def _answer_types() -> dict[str, Any]:
    from ..generation.execution.batch_run import BatchSummary
    from ..generation.generation_result import GenerationMetadata
    from ..generation.history import GenerationSummary
    from ..generation.learned import Learned
    from ..generation.stages import Generation, GenerationExplanation, Recommendations
    from ..history.own_pictures import HistoryStatus
    from ..history.own_use import OwnUse
    from ..hubs.hub_work import CleanupReport
    from ..learning import Feedback
    from ..memory import MemoryPlan
    from ..models import ModelMetadata
    from ..pictures.picture_info import PictureInfo
    from ..registry.enrich import EnrichReport
    from ..registry.scan import ScanReport
    from ..registry.updates import UpdateReport

    texts: dict[str, Any] = dict.fromkeys(("id", "path"), str)
    made = TypedDict("Made", {**texts, "metadata": GenerationMetadata, "explanation": GenerationExplanation})  # type: ignore[misc]
    graph = dict[str, Any]
    return {
        "generate": list[made],
        "batch": BatchSummary | Foretold,
        "recommend": Recommendations,
        "plan": MemoryPlan,
        "generations": list[GenerationSummary],
        "history": HistoryStatus | OwnUse,
        "show": Generation | PictureInfo | ModelMetadata | graph,
        "feedback": Feedback | TakenBack | Picked,
        "learned": Learned,
        "scan": ScanReport,
        "search": list[ModelMetadata],
        "get": ModelMetadata,
        "correct": ModelMetadata,
        "updates": UpdateReport,
        "enrich": EnrichReport,
        "verify": dict[str, str],
        "cleanup": CleanupReport,
        "mcp": None,
        "completion": Script,
    }
