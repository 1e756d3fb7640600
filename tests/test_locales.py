"""Translations: English is as the code has it, every other language has all of it with the same placeholders."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from string import Formatter
from typing import Any

import pytest

from intelligence.config import ASPECTS, OffloadStrategy, Priority
from intelligence.models.kinds import LoRAKind
from intelligence.prompt.analysis import ArtisticStyle, ComplexityCategory, ContentType, QualityLevel

from .tools.english_texts import OURS, ROOT, english, locale, messages

pytestmark = pytest.mark.unit

LANGUAGES = sorted(path.name for path in (ROOT / "locales").iterdir() if path.name != "en")
FILES = ("main", "nodeDefs", "settings", "commands")

SAID = (ArtisticStyle, ComplexityCategory, ContentType, QualityLevel, LoRAKind, Priority, OffloadStrategy)
"""Enums whose members stand in sentences."""

INTERNAL = re.compile(
    r"α|\b[0-9a-f]{12,}\b|\b\w+\.(?:py|json|db)\b|TFLOP|(?<!`)\b[a-z]+_[a-z_]+\b(?!`)|\bss_\w+|\bNone\b|\bTrue\b|\bFalse\b"
)
"""What people do not read: names of source files, ids, Python's words. Widgets are named in backticks."""

WIDGETS_AND_VALUES = {"use_suggestions", "trigger_words", "generation_id", "filename_prefix"}


def leaves(texts: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(texts, dict):
        for name, inner in texts.items():
            yield from leaves(inner, (*path, name))
    else:
        yield path, texts


def placeholders(text: str) -> list[str]:
    return sorted({name for _, name, _, _ in Formatter().parse(text) if name})


@pytest.fixture(scope="module")
def texts() -> dict[str, Any]:
    return english()


@pytest.mark.parametrize("name", FILES)
def test_english_is_as_the_code_has_it(texts: dict[str, Any], name: str) -> None:
    """`python -m tests.tools.english_texts` writes it anew."""
    assert locale("en", name) == texts[name]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_is_translated(texts: dict[str, Any], language: str, name: str) -> None:
    translated = dict(leaves(locale(language, name)))
    wanted = dict(leaves(texts[name]))
    assert sorted(wanted.keys() ^ translated.keys()) == []
    assert [path for path, text in translated.items() if not text.strip()] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_translations_have_the_same_placeholders(texts: dict[str, Any], language: str) -> None:
    ours, theirs = texts["main"][OURS], locale(language, "main")[OURS]
    for part in ("page", "reasons"):
        differing = [key for key, text in ours[part].items() if placeholders(text) != placeholders(theirs[part][key])]
        assert differing == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_words_in_sentences_are_translated(language: str) -> None:
    words = locale(language, "main")[OURS]["words"]
    assert [member for kind in SAID for member in kind if str(member) not in words] == []
    assert ASPECTS.keys() - words.keys() == set()


def test_sentences_name_no_internals() -> None:
    found = {key: INTERNAL.findall(re.sub(r"\{\w+[^}]*\}", "", text)) for key, text in messages().items()}
    assert {key: names for key, names in found.items() if {*names} - WIDGETS_AND_VALUES} == {}


@pytest.mark.parametrize("language", LANGUAGES)
def test_help_pages_are_translated(language: str) -> None:
    """Each has the same parts: its headings, and the inputs that its table explains."""
    for page in (ROOT / "web" / "docs").glob("*.md"):
        own = page.read_text(encoding="utf-8")
        translated = (page.with_suffix("") / f"{language}.md").read_text(encoding="utf-8")
        for part in (r"^#+ ", r"^\| [^|\n]*`[^|\n]*\|"):
            assert len(re.findall(part, own, re.M)) == len(re.findall(part, translated, re.M)), (page.stem, part)


def test_page_finds_the_translation_of_a_text_alone(node: str) -> None:
    """Errors and notes come as text: the page finds their message, and the values in it."""
    script = ROOT / "tests" / "tools" / "translate.mjs"
    cases = {
        "Nothing here": "Nothing here",
        "the limit of 5 s was exceeded: it took 2 min 5 s in all": "se superó el límite de 5 s: tardó 2 min 5 s en "
        "total",
        "a.safetensors: empty file; the download has failed, download it again": "a.safetensors: archivo vacío; la "
        "descarga falló, descárgalo otra vez",
        "at 0.80, usual for style LoRAs; its name matches “fox”": "a 0,80, lo habitual para un LoRA de tipo estilo; su "
        "nombre coincide con “fox”",
        "a.safetensors: corrupt: cut off after 163,292 of 326,584 bytes; download it again": "a.safetensors: corrupto: "
        "cortado tras 163.292 de 326.584 bytes; descárgalo otra vez",
        "image 2: of one colour only": "imagen 2: de un solo color",
        "`negative_prompt` has 60,000 characters; shorten it to 50,000 or fewer": "«prompt negativo» tiene 60.000 "
        "caracteres; redúcelo a 50.000 o menos",
        "after step 3 the run was going to take 9.5 s, beyond the limit of 5 s: guidance ends at sigma 1.2 and 8 steps "
        "instead of 20": "tras el paso 3 la ejecución iba a tardar 9,5 s, más que el límite de 5 s: la guía acaba en "
        "sigma 1,2 y 8 pasos en lugar de 20",
    }
    found = subprocess.run([node, script], input="\n".join(cases), capture_output=True, text=True, check=True).stdout
    assert found.strip().split("\n") == [*cases.values()]


@pytest.fixture
def node() -> str:
    import shutil

    found = shutil.which("node")
    if found is None:
        pytest.skip("node is not installed")
    return found
