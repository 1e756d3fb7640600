"""Models by id, path and name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from functools import cached_property

from ..models.kinds import ModelKind
from ..models.metadata import ModelSummary

MIN_SIMILARITY = 0.6
"""`difflib` ratio from which a name is suggested for a misspelt one."""


class Listing:
    """The present models at one revision of the registry."""

    def __init__(self, revision: int, models: Sequence[ModelSummary]) -> None:
        self.revision = revision
        self.models = models

    def find(self, name: str) -> ModelSummary | None:
        """Return the model of this id, path below its root, or name; upper and lower case count for exact matches."""
        return self._by_name.get(name) or self._by_name.get(name.casefold())

    def similar_names(self, name: str) -> list[str]:
        """Return the names of up to three models that `name` may be a misspelling of."""
        names = [known for known in self._by_name if ":" not in known]
        close = difflib.get_close_matches(name.casefold(), names, 10, MIN_SIMILARITY)
        return list(dict.fromkeys(self._by_name[known].name for known in close))[:3]

    @cached_property
    def _by_name(self) -> dict[str, ModelSummary]:
        """Exact names win over case-folded ones, LoRAs over other kinds."""
        ordered = sorted(self.models, key=lambda model: model.kind is not ModelKind.LORA)
        names: tuple[Callable[[ModelSummary], str], ...] = (
            lambda model: model.model_id,
            lambda model: model.model_id.partition(":")[2],
            lambda model: model.model_id.partition(":")[2].rpartition(".")[0],
            lambda model: model.name,
        )
        index: dict[str, ModelSummary] = {}
        for fold in (str, str.casefold):
            for name in names:
                for model in ordered:
                    if text := fold(name(model)):
                        index.setdefault(text, model)
        return index
