"""Names that stand in a prompt which asks for something else: what the trees of the decision give too much for."""

from __future__ import annotations

import numpy as np

from ...models import LoRAKind
from .index import KINDS, Floats
from .naming import NameSource
from .naming_evidence import EVIDENCE

NO_STYLES = [KINDS.index(kind) for kind in (LoRAKind.CHARACTER, LoRAKind.CONCEPT, LoRAKind.EFFECT)]


def most_probable(evidence: Floats) -> Floats:
    """Return how probable each LoRA may be at most, shape (LoRAs,): 1, or 0 where it is misread.

    A style that the prompt asks for does not ask for a LoRA of something else that has it among its tags: of 462 such
    LoRAs of training none is wanted (README.md).

    Args:
        evidence: shape (LoRAs, len(EVIDENCE)).
    """
    strong, source, style_word, kind = (
        evidence[:, EVIDENCE.index(name)] for name in ("strong", "source", "style_word", "kind")
    )
    by_tag = (strong == 0) & (source == NameSource.TAG) & (style_word > 0)
    return np.where(by_tag & np.isin(kind, NO_STYLES), 0, 1).astype(np.float32)
