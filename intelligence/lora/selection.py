"""From a ranking to a set: one LoRA per subject, one style, one version, within the limits."""

from __future__ import annotations

from collections.abc import Iterable

from ..config import LoRAPreferences
from ..records import Reason
from ..registry import ModelMetadata
from .ranking import Evidence, Library
from .recommendation import RejectedLoRA
from .text import tokens

SAME_NAME = 0.75
"""Overlap of the telling name words (Jaccard) from which two LoRAs count as versions of one."""


class Selection:
    """Takes LoRAs one by one, best first.

    Args:
        library: for how much a word tells.
        limits: how many, how sure, whether styles may mix.
        named: model ids of those that the prompt's tags already put in.
        taken: how many of `limits.max_loras` are used up by those.
    """

    def __init__(self, library: Library, limits: LoRAPreferences, named: set[str], taken: int) -> None:
        self.library = library
        self.limits = limits
        self.named = named
        self.taken = taken
        self._features = {features.model.model_id: features for features in library.features}
        self._inside: list[tuple[str, frozenset[str], frozenset[tuple[str, ...]]]] = []
        self._words: dict[str, str] = {}
        self._style: str | None = None

    def occupy(self, model: ModelMetadata) -> None:
        """Take note of a LoRA that is applied in any case."""
        features = self._features[model.model_id]
        self._inside.append((model.name, frozenset(features.name), _triggers(model)))
        if features.is_style and self._style is None:
            self._style = model.name

    def choose(self, ranked: Iterable[Evidence]) -> tuple[list[Evidence], list[RejectedLoRA]]:
        """Those to apply, best first, and those that are not, with the reason."""
        chosen: list[Evidence] = []
        rejected: list[RejectedLoRA] = []
        for evidence in ranked:
            model = evidence.features.model
            if model.model_id in self.named:
                continue
            reason = self._objection(evidence)
            if reason is not None:
                rejected.append(RejectedLoRA(model.name, Reason("lora", reason, round(evidence.confidence, 3))))
                continue
            chosen.append(evidence)
            self.taken += 1
            self.occupy(model)
            for word in evidence.words:
                self._words.setdefault(word, model.name)
        return chosen, rejected

    def _objection(self, evidence: Evidence) -> str | None:
        features, limits = evidence.features, self.limits
        if evidence.confidence < limits.min_confidence:
            return f"not sure enough: confidence {evidence.confidence:.2f}, {limits.min_confidence:g} is asked for"
        triggers = _triggers(features.model)
        for name, words, others in self._inside:
            union = words | set(features.name)
            overlap = len(words & set(features.name)) / len(union) if union else 0.0
            if overlap >= SAME_NAME or (triggers and triggers == others):
                return f"a version of {name}, which is applied already"
        if features.is_style and self._style is not None and not limits.allow_style_mixing:
            return f"a second style beside {self._style}; styles are not mixed unless that is allowed"
        both_styles = features.is_style and self._style is not None
        if evidence.words and not both_styles and evidence.words <= self._words.keys():
            serving = sorted({self._words[word] for word in evidence.words})
            return f"what the prompt says of it is served by {', '.join(serving)}"
        if self.taken >= limits.max_loras:
            return f"the limit of {limits.max_loras} LoRA{'s' * (limits.max_loras != 1)} is reached"
        return None


def _triggers(model: ModelMetadata) -> frozenset[tuple[str, ...]]:
    return frozenset(key for trigger in model.trigger_sets for word in trigger.words if (key := tokens(word)))
