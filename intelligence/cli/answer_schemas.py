"""JSON schemas of what commands print with --json."""

from __future__ import annotations

import sys
from typing import Annotated, Any

if sys.version_info >= (3, 12):
    from typing import TypedDict
else:
    from typing_extensions import TypedDict  # pydantic's, which needs it there


class GraphNode(TypedDict):
    """A node of a prompt in ComfyUI's API format."""

    class_type: str
    inputs: dict[str, Any]


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


class _Named:
    """Annotation of a record as `to_dict` gives it: with its type's name, by which those of a union are told apart."""

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict[str, Any]:
        schema = handler(core)
        name = handler.resolve_ref_schema(schema)["title"]
        return {**schema, "properties": {"type": {"const": name}}, "required": ["type"]}


def answer_schema(command: str) -> dict[str, Any]:
    """Return the JSON schema of the answer of a command; an error is `{"error": sentence, "kind": class}`."""
    from pydantic import TypeAdapter

    schema = TypeAdapter(_answer_types()[command]).json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": command}


def _answer_types() -> dict[str, Any]:
    from pydantic import Field

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
    graph = Annotated[dict[str, GraphNode], Field(min_length=1)]
    named = _Named()
    return {
        "generate": list[made],
        "batch": BatchSummary | Foretold,
        "recommend": Recommendations,
        "plan": MemoryPlan,
        "generations": list[GenerationSummary],
        "history": HistoryStatus | OwnUse,
        "show": Annotated[Generation, named] | Annotated[PictureInfo, named] | Annotated[ModelMetadata, named] | graph,
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
