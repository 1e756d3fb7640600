"""The present models of a registry by their names, and names like a misspelt one."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from ..models.kinds import ModelKind
from ..models.metadata import ModelSummary
from ..models.name_patterns import plain_name

MIN_SIMILARITY = 0.6
"""`difflib` ratio from which a name is suggested for a misspelt one."""

MAX_COMPARED = 40
"""Names that share the most pairs of letters with a misspelt one, which are compared letter by letter."""

MAX_NAME_CHARACTERS = 200


class Listing:
    """The present models at one revision of the registry, by id, path and name."""

    def __init__(self, revision: int, models: Sequence[ModelSummary]) -> None:
        self.revision = revision
        self.models = models

    def find(self, name: str) -> ModelSummary | None:
        """Return the model of this id, path below its root, or name; case and Unicode form count for exact matches."""
        return self._by_name.get(name) or self._by_name.get(_folded(name))

    def similar_names(self, name: str) -> list[str]:
        """Return the names of up to three models that `name` may be a misspelling of; a few ms for 10,000 models."""
        asked = plain_name(_folded(name[-MAX_NAME_CHARACTERS:]))
        names, pairs = self._pairs
        if not names or not asked:
            return []
        shared = _sizes(pairs & _letter_pairs([asked]))
        nearest = (-shared / (_sizes(pairs) + _sizes(_letter_pairs([asked])))).argsort(kind="stable")[:MAX_COMPARED]
        close = difflib.get_close_matches(asked, [names[place] for place in nearest.tolist()], 3, MIN_SIMILARITY)
        return [self._by_name[known].name for known in close]

    @cached_property
    def _pairs(self) -> tuple[list[str], Any]:
        """Every folded name, and its pairs of neighbouring letters."""
        names = list(dict.fromkeys(_folded(model.name) for model in self.models if model.name))
        return names, _letter_pairs(names)

    @cached_property
    def _by_name(self) -> dict[str, ModelSummary]:
        """Exact names win over folded ones, LoRAs over other kinds."""
        ordered = sorted(self.models, key=lambda model: model.kind is not ModelKind.LORA)
        names: tuple[Callable[[ModelSummary], str], ...] = (
            lambda model: model.model_id,
            lambda model: model.model_id.partition(":")[2],
            lambda model: model.model_id.partition(":")[2].rpartition(".")[0],
            lambda model: model.name,
        )
        index: dict[str, ModelSummary] = {}
        for fold in (str, _folded):
            for name in names:
                for model in ordered:
                    if text := fold(name(model)):
                        index.setdefault(text, model)
        return index


def _folded(name: str) -> str:
    return name.lower() if name.isascii() else unicodedata.normalize("NFC", name).casefold()


def _letter_pairs(names: Sequence[str]) -> Any:
    """Return the pairs of neighbouring bytes of each name as bits, shape (names, 16), two pairs a bit at times."""
    import numpy as np

    text = "\n".join(["", *(name.replace("\n", " ") for name in names), ""]).encode("utf-8", "replace")
    letters = np.frombuffer(text, np.uint8).astype(np.int32)
    owner = (letters[:-1] == ord("\n")).cumsum() - 1
    bits = np.zeros((len(names), 128), bool)
    bits[owner, (31 * letters[:-1] + letters[1:]) % 128] = True
    return np.packbits(bits, axis=1)


def _sizes(pairs: Any) -> Any:
    """Return the number of set bits of each row."""
    import numpy as np

    return np.unpackbits(pairs, axis=1).sum(axis=1, dtype=np.int32)
