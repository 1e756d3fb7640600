"""Prompts to conditioning, against diffusers for plain prompts and against ComfyUI's tokenizers for odd ones."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from intelligence.generation.diffusers_host.conditioning import Conditioning, encode, same_length, token_chunks
from intelligence.generation.diffusers_host.loader import load_pipeline, resolve_base_model
from intelligence.generation.sdxl_config import sdxl_config_folder
from intelligence.prompt.prompt_syntax import parse

from ..comfyui import locate

ODD = [
    "",
    " ",
    "a cat",
    "(a cat:1.3) on ((a)) sofa",
    "a (red (cat:1.2) on:0.7) a sofa",
    r"a \(cat\) and (a \(dog\):1.4)",
    "unbalanced (cat",
    "unbalanced cat)",
    "Ünïcödé 猫 🐈 ½ ﬁ",
    "line\nbreaks\tand   spaces",
    "it's the cat's 1024x768",
    "<|endoftext|> inside",
    "word " * 74,
    "word " * 75,
    "word " * 76,
    "word " * 200,
    "(short words:1.1), " * 60,
    "(a group of more than eight tokens that may be broken apart:1.2), " * 12,
    "word " * 70 + "(seven tokens in one group here now:1.2) after",
    "word " * 70 + "(eight tokens in one group here now then:1.2) after",
    "cat, embedding:nope, dog",
    "cat embedding:nope<lora dog",
    "(cat embedding:nope:1.2) dog",
]

SCRIPT = """
import json, sys
sys.path.insert(0, sys.argv[1]); sys.path.insert(0, sys.argv[2])
import launcher
launcher.declare_torchvision_operators()
import comfy.options
comfy.options.enable_args_parsing()
sys.argv = ["comfy", "--cpu"]
prompts = json.load(sys.stdin)
from comfy.sdxl_clip import SDXLTokenizer
tokenizer = SDXLTokenizer(embedding_directory=[sys.path[0] + "/no-embeddings"])
json.dump([tokenizer.tokenize_with_weights(prompt) for prompt in prompts], sys.stdout)
"""


@pytest.fixture(scope="module")
def pipe(embedded_home: Path) -> Any:
    return load_pipeline(resolve_base_model("embedded"), "cpu")


@pytest.fixture(scope="module")
def tokenizers(embedded_home: Path) -> dict[str, Any]:
    from transformers import CLIPTokenizer

    folder = sdxl_config_folder()
    return {
        "l": CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        "g": CLIPTokenizer.from_pretrained(folder / "tokenizer_2"),
    }


def test_token_chunks_equal_comfyui(tokenizers: dict[str, Any], installation: locate.Installation) -> None:
    run = subprocess.run(
        [installation.python, "-c", SCRIPT, installation.path, Path(locate.__file__).parent],
        input=json.dumps(ODD),
        capture_output=True,
        text=True,
        cwd=installation.path,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    for prompt, expected in zip(ODD, json.loads(run.stdout), strict=True):
        for name, tokenizer in tokenizers.items():
            chunks = token_chunks(tokenizer, parse(prompt).segments)
            assert [[list(token) for token in chunk] for chunk in chunks] == expected[name], (prompt, name)


@pytest.mark.parametrize("prompt", ["", "a cat", "a red cat on a sofa, film grain, 8k"])
def test_encode_plain_prompt_equals_diffusers(pipe: Any, prompt: str) -> None:
    import torch

    expected, _, pooled, _ = pipe.encode_prompt(prompt, do_classifier_free_guidance=False)
    ours = encode(pipe, prompt)
    assert torch.allclose(ours.embeds, expected, atol=1e-5)
    assert ours.pooled is not None and torch.allclose(ours.pooled, pooled, atol=1e-5)


@pytest.mark.parametrize(("words", "chunks"), [(1, 1), (75, 1), (76, 2), (200, 3)])
def test_encode_long_prompt(pipe: Any, words: int, chunks: int) -> None:
    conditioning = encode(pipe, "cat " * words)
    assert conditioning.embeds.shape == (1, 77 * chunks, 192)
    assert conditioning.pooled is not None and conditioning.pooled.shape == (1, 128)


def test_encode_weighted_prompt(pipe: Any) -> None:
    import torch

    plain, empty = encode(pipe, "a cat").embeds, encode(pipe, "").embeds
    heavy, none = encode(pipe, "(a cat:1.5)").embeds, encode(pipe, "(a cat:0)").embeds
    words = slice(1, 3)
    assert torch.allclose(heavy[:, words], empty[:, words] + 1.5 * (plain - empty)[:, words], atol=1e-5)
    assert torch.allclose(none[:, words], empty[:, words], atol=1e-6)
    assert torch.allclose(heavy[:, 3:], plain[:, 3:], atol=1e-6)


def test_encode_clip_skip(pipe: Any) -> None:
    import torch

    own, two, three = (encode(pipe, "a cat", skip).embeds for skip in (None, -2, -3))
    assert torch.equal(own, two)
    assert not torch.allclose(two, three, atol=1e-3)
    assert torch.isfinite(encode(pipe, "a cat", -12).embeds).all()


def test_same_length(pipe: Any) -> None:
    import torch

    long, short = same_length(encode(pipe, "cat " * 200), encode(pipe, "dog " * 100))
    assert long.embeds.shape == short.embeds.shape == (1, 77 * 6, 192)
    once = encode(pipe, "dog " * 100)
    latents = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(_denoise(pipe, latents, short), _denoise(pipe, latents, once), atol=1e-5)


def _denoise(pipe: Any, latents: Any, conditioning: Conditioning) -> Any:
    import torch

    added = {"text_embeds": conditioning.pooled, "time_ids": torch.tensor([[128.0, 128, 0, 0, 128, 128]])}
    with torch.no_grad():
        return pipe.unet(latents, 500, conditioning.embeds, added_cond_kwargs=added).sample
