"""Training of the demo model's text encoders, before the UNet: captions are told apart by concept and style.

    python -m tests.tools.demo_model.train_text --steps 1600

What the UNet is given (both encoders' last hidden layer but one, and the pooled projection of the second) is trained to
name the concept; captions share keywords, so related concepts lie close. Afterwards the encoders are fixed, and the
UNet's training reads stored encodings.
"""

from __future__ import annotations

import argparse
import random
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from intelligence.generation import embedded_weights as shape

from . import networks
from .captions import NEIGHBOURS, caption, tokens
from .pictures import BASE_STYLES, CONCEPTS, load
from .runs import Run, parser_of, path_of

BATCH = 48


class Encoded(NamedTuple):
    """Encodings that the UNet is given for some captions."""

    hidden: torch.Tensor
    """(n, tokens, 192): both encoders' last hidden layer but one."""
    pooled: torch.Tensor
    """(n, 128)."""


def encode(encoders: tuple[Any, Any], texts: list[str], trim: bool = False) -> Encoded:
    """Return the encodings on 77 tokens; `trim`: on as many as the longest caption has, as attention is causal."""
    ids = tokens(texts)
    if trim:
        length = int((ids[1] > 0).sum(1).max())
        ids = (ids[0][:, :length], ids[1][:, :length])
    first = encoders[0](ids[0], output_hidden_states=True)
    second = encoders[1](ids[1], output_hidden_states=True)
    return Encoded(torch.cat((first.hidden_states[-2], second.hidden_states[-2]), dim=-1), second.text_embeds)


class Reader(nn.Module):
    """Names concept and style from hidden states, by an attention of its own, and from the pooled projection."""

    def __init__(self) -> None:
        super().__init__()
        answers = CONCEPTS + len(BASE_STYLES) + 1
        self.queries = nn.Linear(shape.CONTEXT, 4)
        self.from_hidden = nn.Linear(4 * shape.CONTEXT, answers)
        self.from_pooled = nn.Linear(shape.POOLED, answers)

    def forward(self, encoded: Encoded) -> tuple[torch.Tensor, torch.Tensor]:
        """Return two rows of logits."""
        weights = self.queries(encoded.hidden).softmax(dim=1)
        read = torch.einsum("ntq,ntc->nqc", weights, encoded.hidden).flatten(1)
        return self.from_hidden(read), self.from_pooled(encoded.pooled)


def _initialise(encoders: tuple[Any, Any]) -> None:
    """Start with token rows of deviation 0.5, so that words are told apart from the first step."""
    for encoder in encoders:
        embeddings = encoder.text_model.embeddings if hasattr(encoder, "text_model") else encoder.embeddings
        nn.init.normal_(embeddings.token_embedding.weight, std=0.5)
        nn.init.normal_(embeddings.position_embedding.weight, std=0.1)


def train(limits: argparse.Namespace) -> None:
    """Train the encoders and write `text_weights.pt`, a list of two state dictionaries."""
    torch.manual_seed(2)
    concepts = load().concepts[:CONCEPTS]
    encoders, reader = networks.text_encoders(), Reader()
    _initialise(encoders)
    run = Run("text", {"first": encoders[0], "second": encoders[1], "reader": reader}, rate=1e-3, decay=0.99)

    def drawn(choice: random.Random) -> tuple[list[str], torch.Tensor, torch.Tensor]:
        numbers = [choice.randrange(CONCEPTS) for _ in range(BATCH)]
        styles = [choice.randrange(len(BASE_STYLES) + 1) for _ in range(BATCH)]
        names = (*BASE_STYLES, None)
        texts = [caption(concepts[n], names[s], choice) for n, s in zip(numbers, styles, strict=True)]
        return texts, torch.tensor(numbers), torch.tensor(styles)

    def loss_of(generator: torch.Generator, progress: float) -> torch.Tensor:
        choice = random.Random(generator.initial_seed())
        texts, numbers, styles = drawn(choice)
        losses = [
            functional.cross_entropy(logits[:, :CONCEPTS], numbers)
            + 0.5 * functional.cross_entropy(logits[:, CONCEPTS:], styles)
            for logits in reader(encode(encoders, texts, trim=True))
        ]
        return sum(losses, torch.zeros(()))

    def watch() -> None:
        texts, numbers, styles = drawn(random.Random("watched"))
        with torch.no_grad():
            for name, logits in zip(("hidden", "pooled"), reader(encode(encoders, texts, trim=True)), strict=True):
                concept = (logits[:, :CONCEPTS].argmax(1) == numbers).float().mean()
                style = (logits[:, CONCEPTS:].argmax(1) == styles).float().mean()
                print(f"text, {name}: concept {concept:.2f}, style {style:.2f}", flush=True)

    run.train(limits, loss_of, watch)
    run.use_average()
    watch()
    _teach_neighbours(encoders)
    torch.save([encoder.state_dict() for encoder in encoders], path_of("text_weights.pt"))


def _teach_neighbours(encoders: tuple[Any, Any]) -> None:
    """Give words that no caption has the mean row of words that are near them."""
    for word, near in NEIGHBOURS.items():
        (mine, *others) = tokens([word, *near])[1]
        rows = [int(row[1]) for row in others]
        for encoder in encoders:
            weight = encoder.get_input_embeddings().weight
            with torch.no_grad():
                weight[int(mine[1])] = weight[rows].mean(0)


def load_encoders() -> tuple[Any, Any]:
    """Return the trained encoders, fixed."""
    encoders = networks.text_encoders()
    for encoder, weights in zip(encoders, torch.load(path_of("text_weights.pt"), weights_only=True), strict=True):
        encoder.load_state_dict(weights)
        encoder.requires_grad_(False)
    return encoders


if __name__ == "__main__":
    torch.set_num_threads(1)
    train(parser_of(__doc__, steps=1600).parse_args())
