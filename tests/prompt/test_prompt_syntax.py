"""The prompt's syntax, compared with ComfyUI's own parser where a checkout is found."""

import json
import math
import random
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intelligence.prompt.lora_tags import disarm_lora_tags, strip_lora_tags
from intelligence.prompt.prompt_messages import PromptMessage
from intelligence.prompt.prompt_syntax import parse, split_embeddings, token_weights
from tests.comfyui import locate

ODD = [
    "",
    " ",
    "(",
    ")",
    "()",
    "(())",
    ")(",
    ")(a)",
    "(a(b)",
    "((((a)",
    "((((a))",
    "((a)",
    "(a))b(c(d)",
    "(:1.2)",
    "(a:)",
    "(a:1.2)",
    "(a:b:1.2)",
    "(a:1_0)",
    "(a: 1.5 )",
    "(a:-1)",
    "(a:inf)",
    "(a:nan)",
    "(a:1e400)",
    "(a:٣)",
    "((a:1.2):1.3)",
    "((a:1.2)b:1.3)",
    "(a:1.2)b)",
    r"\(a\)",
    r"(a\)",
    r"(a\):1.2)",
    r"\\(a)",
    r"(\(b\):1.4)",
    "a\\",
    "(a\\",
    "(a:1.2\\)",
    "(a\n:1.2\n)",
    "(a (b (c:0.5) d:2) e)",
    "masterpiece, (best quality:1.2), ((x)), [y], {z|w}",
    "((a)(b:3)c",
    "(a:1.2)(b)c",
    "x(" * 40,
    "(" * 60 + "a" + ")" * 60,
    "(" * 60 + "a" + ")" * 30,
    "(" * 30 + "a" + ")" * 60,
    "(a:1.1" * 20,
    ":1)" * 20,
]

READER = """
import json, sys
prompts = json.load(sys.stdin)
sys.argv = ["main.py", "--cpu"]
import comfy.options
comfy.options.enable_args_parsing()
from comfy.sd1_clip import escape_important, token_weights, unescape_important
answers = [[(unescape_important(t), repr(w)) for t, w in token_weights(escape_important(p), 1.0)] for p in prompts]
print("ANSWER" + json.dumps(answers))
"""


PIECES = (
    *"(()):,\\[]{}|<>-. \n\t\r\0\1\2\u00a0\u2028é（）猫👩",
    *("1.2", "0.5", "1e3", "e3", "_1", "a", "b c", "\\(", "\\)", "\0\1", "\0\2", "embedding:x", "BREAK", "inf", "٣"),
)


def random_prompts(count: int) -> list[str]:
    """Prompts of all pieces, of few of them, and of mostly parentheses, colons and numbers."""
    draw = random.Random(0)
    few = ("(", "(", ")", ")", ":", "1.2", "a", "\\")
    kinds = (PIECES, few, (*few * 3, *PIECES))
    return ["".join(draw.choices(draw.choice(kinds), k=draw.randint(0, 40))) for _ in range(count)]


def test_token_weights_equal_comfyui():
    try:
        comfyui = locate.checkout()
    except locate.Unavailable as missing:
        pytest.skip(str(missing))
    prompts = ODD + random_prompts(10_000)
    reader = subprocess.run(
        [sys.executable, "-c", READER],
        input=json.dumps(prompts),
        capture_output=True,
        text=True,
        cwd=comfyui,
        timeout=300,
    )
    if reader.returncode:
        pytest.skip(f"ComfyUI's reader does not import here: {reader.stderr.strip().splitlines()[-1]}")
    answers = json.loads(reader.stdout.rpartition("ANSWER")[2])
    for prompt, answer in zip(prompts, answers, strict=True):
        parsed = parse(prompt)
        assert parsed.text == prompt
        assert [[segment.text, repr(segment.weight)] for segment in parsed.segments] == answer, prompt


@pytest.mark.parametrize(
    "prompt, expected",
    [
        ("a cat", [("a cat", 1.0)]),
        ("a (cat)", [("a ", 1.0), ("cat", 1.1)]),
        ("(cat:1.3), dog", [("cat", 1.3), (", dog", 1.0)]),
        ("((cat))", [("cat", 1.1 * 1.1)]),
        (r"miku \(vocaloid\)", [("miku (vocaloid)", 1.0)]),
        ("(a(b)", [("a", 1.1), ("(b", 1.1)]),
        (")(a)", [(")(a)", 1.0)]),
    ],
)
def test_parse_weights(prompt, expected):
    assert [(segment.text, segment.weight) for segment in parse(prompt).segments] == expected


@given(st.text(alphabet="()ab:.1 ,\\<>lora\n", max_size=80))
def test_parse_spans_are_ordered_and_inside(prompt):
    position = 0
    for segment in parse(prompt).segments:
        start, end = segment.span
        assert position <= start < end <= len(prompt)
        position = end


@given(st.text(max_size=200))
def test_parse_reads_any_text(prompt):
    parsed = parse(prompt)
    assert strip_lora_tags(prompt) == parsed.text


@pytest.mark.parametrize(
    "prompt, text, tags",
    [
        ("a, <lora:x:0.8>, b", "a, b", [("x", 0.8, None)]),
        ("a <lora:x:0.8> b", "a b", [("x", 0.8, None)]),
        ("a <lora:x>, b", "a, b", [("x", 1.0, None)]),
        ("<lora:my nice lora:0.8:0.4>, a", "a", [("my nice lora", 0.8, 0.4)]),
        ("a, <LoRA:sub/x:-1>", "a", [("sub/x", -1.0, None)]),
        ("a,<lora:x:1>,<lora:y:1>,b", "a,b", [("x", 1.0, None), ("y", 1.0, None)]),
        ("<lora:x:1><lora:y:1>", "", [("x", 1.0, None), ("y", 1.0, None)]),
        ("a\n<lora:x:1>\nb", "a\n\nb", [("x", 1.0, None)]),
        ("(a, <lora:x:1> b:1.2)", "(a, b:1.2)", [("x", 1.0, None)]),
        ("a,, b", "a,, b", []),
        ("a <lora:x", "a <lora:x", []),
        ("<lyco:x:0.5> a", "a", [("x", 0.5, None)]),
        ("<lora:x:0,8> a", "a", [("x", 0.8, None)]),
        ("<lora:x:te=0.3:unet=0.8> a", "a", [("x", 0.8, 0.3)]),
        ("(<lora:x:0.8>:1.2), a", "a", [("x", 0.8, None)]),
        ("[(a:1.2) <lora:x:0.8>] b", "[(a:1.2)] b", [("x", 0.8, None)]),
    ],
)
def test_parse_takes_lora_tags_out(prompt, text, tags):
    parsed = parse(prompt)
    assert (parsed.text, strip_lora_tags(prompt)) == (text, text)
    assert [(tag.name, tag.strength_model, tag.strength_clip) for tag in parsed.lora_tags] == tags
    for tag in parsed.lora_tags:
        assert prompt[slice(*tag.span)].lower().startswith(("<lora:", "<lyco:"))


@pytest.mark.parametrize(
    "tag, strengths, ignored",
    [
        ("<lora:x:0.8:lbw=1,0,0>", (0.8, None), "lbw=1,0,0"),
        ("<lora:x:0.7:0.3:OUTD>", (0.7, 0.3), "OUTD"),
        ("<lora:x:0.7:0.3:lbw=OUTD:stop=10>", (0.7, 0.3), "lbw=OUTD:stop=10"),
        ("<lora:x:1:1:1,0,0,0.5>", (1.0, 1.0), "1,0,0,0.5"),
    ],
)
def test_parse_obeys_strengths_of_tag_with_block_weights(tag, strengths, ignored):
    (read,) = parse(f"a, {tag}").lora_tags
    assert (read.strength_model, read.strength_clip, read.ignored) == (*strengths, ignored)


@pytest.mark.parametrize(
    "prompt, refused, message",
    [
        ("{<lora:x:1>|<lora:y:1>} a", ["<lora:x:1>", "<lora:y:1>"], PromptMessage.LORA_TAG_ALTERNATIVE),
        ("{red <lora:x:1>|(blue:1.2)} a", ["<lora:x:1>"], PromptMessage.LORA_TAG_ALTERNATIVE),
        ("[<lora:x:1>:<lora:y:1>:0.5] a", ["<lora:x:1>", "<lora:y:1>"], PromptMessage.LORA_TAG_SCHEDULED),
        ("[a:{b <lora:x:1>}:0.5]", ["<lora:x:1>"], PromptMessage.LORA_TAG_SCHEDULED),
        ("<lora:x:1> a <lora:X:0.5>", ["<lora:X:0.5>"], PromptMessage.LORA_TAG_TWICE),
        ("<hypernet:x:1> a", ["<hypernet:x:1>"], PromptMessage.HYPERNETWORK),
        ("<lora:x:high> a", ["<lora:x:high>"], PromptMessage.LORA_TAG_MALFORMED),
        ("{a} [b] (<lora:x:1>) {<lora:y:1>}", [], None),
    ],
)
def test_parse_refuses_tag_with_reason(prompt, refused, message):
    found = parse(prompt).refused_tags
    assert [tag.text for tag in found] == refused
    assert all(tag.reason.message == message.key for tag in found)


@pytest.mark.parametrize(
    "prompt, text",
    [
        ("(a, <lora:x:0.8>:1.2), b", "(a:1.2), b"),
        ("(<lora:x:0.8>:1.2), b", "b"),
        ("a, (<lora:x:0.8>, <lora:y:1>), b", "a, b"),
        ("a, ((<lora:x:0.8>)), b", "a, b"),
        ("(red <lora:x:0.8>)", "(red)"),
        ("{a|<lora:x:1> b}", "{a|b}"),
        ("a, {<lora:x:1>|<lora:y:1>}, b", "a, b"),
        ("[a <lora:x:1>:b:0.5]", "[a:b:0.5]"),
        ("a, [<lora:x:1>:<lora:y:1>:0.5]", "a"),
        ("[<lora:x:1>::0.5] b", "b"),
        (r"\(<lora:x:1>\) b", "b"),
        ("a, () <lora:x:1> b", "a, () b"),
        (r"\<lora:x:1> b", "\\ b"),
        ("<lora:<lora:a:1>b:1> c", "lora:b:1> c"),
    ],
)
def test_strip_lora_tags_within_other_syntax(prompt, text):
    assert strip_lora_tags(prompt) == text
    assert parse(strip_lora_tags(prompt)).lora_tags == ()


@pytest.mark.parametrize("text, plain", [("a <<lora:x:1> b", "a lora:x:1> b"), ("a <lora:x", "a <lora:x")])
def test_disarm_lora_tags_keeps_their_words(text, plain):
    assert disarm_lora_tags(text) == plain


def test_parse_spans_count_in_prompt_with_tags():
    prompt = "red <lora:x:1> cat, (blue:1.2) dog"
    spans = [prompt[slice(*segment.span)] for segment in parse(prompt).segments]
    assert spans == ["red <lora:x:1> cat, ", "blue", " dog"]


@pytest.mark.parametrize(
    "tag", ["<lora:x:high>", "<lora::1>", "<lora:x:1:2:3>", "<lora:x:nan>", "<lora:x:inf>", "<lora:>"]
)
def test_parse_drops_unusable_tag_with_note(tag):
    parsed = parse(f"a, {tag}, b")
    assert parsed.text == "a, b"
    assert parsed.lora_tags == ()
    assert len(parsed.notes) == 1 and tag in parsed.notes[0]


def test_parse_bounds_huge_strength_with_note():
    parsed = parse("<lora:x:1e9:-50> a")
    assert (parsed.lora_tags[0].strength_model, parsed.lora_tags[0].strength_clip) == (10.0, -10.0)
    assert "bounded" in parsed.notes[0]


@pytest.mark.parametrize(
    "prompt, names",
    [
        ("embedding:easynegative, x", ("easynegative",)),
        ("x, (embedding:bad.pt:1.2)", ("bad.pt",)),
        ("x embedding:a embedding:b embedding:a", ("a", "b")),
        ("notembedding:a", ()),
        ("x embedding: a, b", ("a",)),
        ("embedding:a<b embedding:[c] (embedding:d,e:1.2)", ("a", "d,e")),
    ],
)
def test_split_embeddings_names(prompt, names):
    found = (name for segment in parse(prompt).segments for name, _ in split_embeddings(segment.text) if name)
    assert tuple(dict.fromkeys(found)) == names


@pytest.mark.parametrize("prompt", ["embedding:", "a (embedding: :1.2) b", "embedding: embedding:x"])
def test_parse_notes_embedding_without_name(prompt):
    assert "without a name" in parse(prompt).notes[0]


@pytest.mark.parametrize(
    "prompt, name",
    [
        ("a BREAK b", "BREAK"),
        ("a AND b", "AND"),
        ("a {red|blue} b {x|y}", "dynamic prompts"),
        ("[cat:dog:0.5]", "scheduling"),
        ("[cat] [dog]", "[brackets]"),
        ("a // later", "comments"),
        ("a __color__ dress, __hair/long*__", "__wildcards__"),
        ("a cat --ar 16:9 --v 5 --tile", "Midjourney"),
    ],
)
def test_parse_keeps_and_notes_foreign_syntax(prompt, name):
    parsed = parse(prompt)
    assert parsed.text == prompt
    assert [note for note in parsed.notes if name in note] == list(parsed.notes)
    assert len(parsed.notes) == 1


@pytest.mark.parametrize(
    "prompt",
    [
        "a band and a breakwater",
        "long__hair, __init",
        "a well--known cat -- a fox",
        "see https://example.org/x",
        r"\[x\]",
        "{x}",
    ],
)
def test_parse_takes_plain_words_for_words(prompt):
    assert parse(prompt).notes == ()


@pytest.mark.parametrize(
    "prompt",
    [
        "(" * 100_000,
        ")" * 100_000,
        "(" * 50_000 + ")" * 50_000,
        "(" * 60_000 + "a" + ")" * 30_000,
        "(a:1" * 25_000,
        "<lora:" * 16_000,
        "<lora:x:1>" * 10_000,
        "(<lora:x:1>" * 8_000 + ")" * 8_000,
        "[" * 50_000 + "<lora:x:1>" + ":]" * 20_000,
        "(<lora:x:1> ,:|" * 6_000,
        "," * 100_000,
        "{|" * 50_000,
        "[" + ":" * 100_000,
        "[:1" * 30_000,
        "embedding:" * 10_000,
        "\\(" * 50_000,
    ],
    ids=lambda prompt: prompt[:6],
)
def test_parse_huge_prompt_without_recursion(prompt):
    assert parse(prompt).text == strip_lora_tags(prompt)


def test_token_weights_deep_nesting_overflows_to_infinity():
    (segment,) = token_weights("(" * 50_000 + "a" + ")" * 50_000)
    assert segment.text == "a" and math.isinf(segment.weight)
