"""Prompts to conditioning as ComfyUI does it: any length, and weights like `(word:1.2)`.

The rules are those of ComfyUI's `comfy/sd1_clip.py` and `comfy/sdxl_clip.py`: chunks of 75 tokens between start and end
token; a segment of fewer than 8 tokens is not broken across chunks; weighting interpolates from the empty prompt's
embedding, (z − z₀)·w + z₀, token by token; SDXL takes the last but one layer of both encoders, side by side, and the
projected end token of the second encoder's first chunk.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...prompt import Segment, parse, split_embeddings

if TYPE_CHECKING:
    from torch import Tensor

Token = tuple[int, float]
"""Token id and weight."""

CHUNK_TOKENS = 77
_MIN_BREAKABLE_TOKENS = 8


@dataclass(frozen=True)
class Conditioning:
    """A prompt for the UNet."""

    embeds: Tensor
    """(1, 77 · chunks, width)."""
    pooled: Tensor | None
    """(1, width of the projection); None for models with one text encoder."""


def encode(pipe: Any, prompt: str, clip_skip: int | None = None) -> Conditioning:
    """Encode `prompt` with the text encoders of `pipe` (SDXL: two; SD1 and SD2: one).

    `clip_skip` is ComfyUI's negative layer number; None: the model's own (−2 for SDXL, the last for SD1 and SD2).
    """
    import torch

    encoders = [(pipe.text_encoder, pipe.tokenizer)]
    if is_sdxl := getattr(pipe, "text_encoder_2", None) is not None:
        encoders.append((pipe.text_encoder_2, pipe.tokenizer_2))
    layer = -2 if is_sdxl and clip_skip is None else clip_skip
    parts, pooled = [], None
    for encoder, tokenizer in encoders:
        chunks = token_chunks(tokenizer, parse(prompt).segments)
        embeds, pooled = _encode_chunks(pipe, encoder, tokenizer, chunks, layer, normed=not is_sdxl)
        parts.append(embeds)
    return Conditioning(torch.cat(parts, dim=-1), pooled if is_sdxl else None)


def same_length(first: Conditioning, second: Conditioning) -> tuple[Conditioning, Conditioning]:
    """Return both with the same number of tokens, so that they fit into one batch of the UNet.

    The shorter is repeated whole, as ComfyUI does: attention over repeated tokens equals attention over them once.
    """
    length = math.lcm(first.embeds.shape[1], second.embeds.shape[1])

    def repeated(item: Conditioning) -> Conditioning:
        return Conditioning(item.embeds.repeat(1, length // item.embeds.shape[1], 1), item.pooled)

    return repeated(first), repeated(second)


def token_chunks(tokenizer: Any, segments: Sequence[Segment]) -> list[list[Token]]:
    """Return the segments as chunks of 77 weighted tokens, with start, end and padding tokens (weight 1)."""
    start, end, pad = tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id
    chunks: list[list[Token]] = []
    chunk: list[Token] = [(start, 1.0)]

    def close() -> None:
        chunk.append((end, 1.0))
        chunk.extend([(pad, 1.0)] * (CHUNK_TOKENS - len(chunk)))
        chunks.append(chunk)

    for group in _token_groups(tokenizer, segments):
        breakable = len(group) >= _MIN_BREAKABLE_TOKENS
        while group:
            room = CHUNK_TOKENS - 1 - len(chunk)
            if len(group) <= room:
                chunk.extend(group)
                break
            if breakable:
                chunk.extend(group[:room])
                group = group[room:]
            close()
            chunk = [(start, 1.0)]
    close()
    return chunks


def _token_groups(tokenizer: Any, segments: Sequence[Segment]) -> list[list[Token]]:
    """Return the tokens of each segment, without textual inversions, which this host leaves out."""
    groups = []
    for segment in segments:
        for _, words in split_embeddings(segment.text):
            if words:
                ids = tokenizer(words, add_special_tokens=False, verbose=False)["input_ids"]
                groups.append([(token, segment.weight) for token in ids])
    return groups


def _encode_chunks(
    pipe: Any, encoder: Any, tokenizer: Any, chunks: list[list[Token]], layer: int | None, *, normed: bool
) -> tuple[Tensor, Tensor | None]:
    """Return (1, 77 · chunks, width), and the first chunk's projected end token or None without a projection."""
    import torch

    weighted = any(weight != 1.0 for chunk in chunks for _, weight in chunk)
    rows = [[token for token, _ in chunk] for chunk in chunks]
    if weighted:
        rows.append([token for token, _ in token_chunks(tokenizer, ())[0]])
    ids = torch.tensor(rows, device=pipe._execution_device)
    with torch.no_grad():
        output = encoder(ids, output_hidden_states=True)
        hidden = _layer(encoder, output, layer, normed)
    if weighted:
        weights = torch.tensor([[weight for _, weight in chunk] for chunk in chunks], device=hidden.device)
        empty = hidden[-1:].float()
        hidden = ((hidden[:-1].float() - empty) * weights[..., None] + empty).to(hidden.dtype)
    projected = getattr(output, "text_embeds", None)
    return hidden.reshape(1, -1, hidden.shape[-1]), None if projected is None else projected[:1]


def _layer(encoder: Any, output: Any, layer: int | None, normed: bool) -> Tensor:
    """Return the hidden states of a layer; one beyond the encoder's first means its last, as in ComfyUI."""
    if layer is None or -layer > encoder.config.num_hidden_layers:
        return output.last_hidden_state
    hidden = output.hidden_states[layer]
    return getattr(encoder, "text_model", encoder).final_layer_norm(hidden) if normed else hidden
