from __future__ import annotations

import pytest

from intelligence.errors import InvalidInputError
from intelligence.hubs.references import (
    CivitAIModel,
    CivitAIVersion,
    HuggingFaceFile,
    Reference,
    parse_reference,
    reference,
)
from intelligence.models import ModelMetadata

NAMED = [
    ("257749", CivitAIModel(257749)),
    (" 257749\n", CivitAIModel(257749)),
    ("civitai:257749", CivitAIModel(257749)),
    ("civitai:257749@290640", CivitAIModel(257749, 290640)),
    ("urn:air:sdxl:checkpoint:civitai:257749@290640", CivitAIModel(257749, 290640)),
    ("https://civitai.com/models/257749", CivitAIModel(257749)),
    ("https://civitai.com/models/257749/pony-diffusion-v6-xl", CivitAIModel(257749)),
    ("https://www.civitai.com/models/257749/pony?modelVersionId=290640#gallery", CivitAIModel(257749, 290640)),
    ("civitai.com/models/257749?modelVersionId=290640", CivitAIModel(257749, 290640)),
    ("https://civitai.com/api/download/models/290640?type=Model&format=SafeTensor", CivitAIVersion(290640)),
    ("owner/repo", HuggingFaceFile("owner/repo")),
    ("owner/repo/sub/a.safetensors", HuggingFaceFile("owner/repo", "sub/a.safetensors")),
    ("https://huggingface.co/owner/repo.v1", HuggingFaceFile("owner/repo.v1")),
    ("hf.co/owner/repo/", HuggingFaceFile("owner/repo")),
    ("https://huggingface.co/owner/repo/tree/main", HuggingFaceFile("owner/repo")),
    ("https://huggingface.co/owner/repo/tree/main/sub", HuggingFaceFile("owner/repo")),
    ("https://huggingface.co/o/r/blob/main/sub/a%20b.safetensors", HuggingFaceFile("o/r", "sub/a b.safetensors")),
    (
        "https://huggingface.co/o/r/resolve/main/a.safetensors?download=true",
        HuggingFaceFile("o/r", "a.safetensors"),
    ),
]


@pytest.mark.parametrize("text, expected", NAMED)
def test_parse_reference(text: str, expected: Reference) -> None:
    assert parse_reference(text) == expected


REFUSED = [
    ("", "names no model"),
    ("pony", "names no model"),
    ("https://example.com/models/257749", "names no model"),
    ("file:///etc/passwd", "names no model"),
    ("civitai:pony", "names no model"),
    ("https://[", "is not an address"),
    ("https://civitai.com/images/1", "no page of a model"),
    ("https://civitai.com/models/pony", "no page of a model"),
    ("https://civitai.com/models/1?modelVersionId=x", "no page of a model"),
    ("https://huggingface.co/owner", "is no model"),
    ("https://huggingface.co/datasets/owner/repo", "is no model"),
    ("https://huggingface.co/owner/repo/blob/pr-1/a.safetensors", "branch main"),
    ("https://huggingface.co/owner/repo/discussions/1", "branch main"),
    ("https://huggingface.co/owner/repo/blob/main/a.ckpt", "others are never downloaded"),
    ("owner/repo/README.md", "others are never downloaded"),
]


@pytest.mark.parametrize("text, reason", REFUSED)
def test_parse_reference_refuses(text: str, reason: str) -> None:
    with pytest.raises(InvalidInputError, match=reason):
        parse_reference(text)


@pytest.mark.parametrize(
    "source, source_id, text",
    [("civitai", "7:71", "civitai:7@71"), ("civitai", "7", "civitai:7"), ("huggingface", "o/r", "o/r")],
)
def test_reference_is_parsed_back(source: str, source_id: str, text: str) -> None:
    model = ModelMetadata(model_id="", name="", source=source, source_id=source_id)
    assert reference(model) == text
    parse_reference(text)
