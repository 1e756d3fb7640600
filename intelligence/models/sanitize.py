"""Untrusted text, numbers, JSON and file names, made safe."""

from __future__ import annotations

import codecs
import html
import json
import re
from typing import Any

from ..errors import HubError

MAX_JSON_BYTES = 4 * 1024 * 1024

_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
_TAG = re.compile(r"<[^<>]*>")
_BREAK = re.compile(r"<(?:/p|/li|/h\d|br ?/?)>", re.IGNORECASE)
_DEVICES = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)", re.IGNORECASE)
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""First bytes of a text file → its encoding; those of UTF-32 begin like those of UTF-16."""

_OLD_ENCODINGS = (
    ("cp932", re.compile(rb"\x82[\x9f-\xf1]|\x83[\x40-\x96]"), 0.4),
    ("gb18030", re.compile(rb"[\xa1-\xa3\xb0-\xd7][\xa1-\xfe]"), 0.8),
    ("cp1251", re.compile(rb"[\xa8\xb8\xc0-\xff]{2,}"), 0.7),
)
"""(encoding, its most common letters, their share of all bytes that are not ASCII): kana, the 3,755 common Chinese
characters, and Cyrillic letters side by side, as accented ones are not."""

_LORA_TAG = re.compile(r"<lora:([^<>:]*)(?::(-?\d+(?:\.\d+)?))?[^<>]*>", re.IGNORECASE)


def clean_text(value: Any, limit: int = 2000) -> str:
    """Return at most `limit` characters of `value`, without control characters and surrogates; empty for no string."""
    if not isinstance(value, str):
        return ""
    text = value[: 2 * limit]
    return (text if text.isprintable() else _UNSAFE.sub("", text)).strip()[:limit]


def clean_number(value: Any, low: float, high: float) -> float | None:
    """Return `value` as a float where it is a number (or the text of one) from `low` to `high`, else None."""
    if isinstance(value, str):
        try:
            value = float(value[:32])
        except ValueError:
            return None
    if isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high:
        return float(value)
    return None


def clean_list(value: Any, limit: int = 200) -> list[str]:
    """Return the cleaned strings of a list, without empty and repeated ones; empty where `value` is no list."""
    if not isinstance(value, list):
        return []
    return [text for text in dict.fromkeys(clean_text(item, 300) for item in value[:limit]) if text]


def as_dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def dicts(value: Any, limit: int = 100) -> list[dict[str, Any]]:
    """Return the dicts among the first `limit` items of a list; empty where `value` is no list."""
    return [item for item in value[:limit] if isinstance(item, dict)] if isinstance(value, list) else []


def parse_json(text: str | bytes) -> Any:
    """Parse JSON of any depth and size of numbers. Raises ValueError with a message of one line."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"not JSON: {str(error).splitlines()[0]}") from None


def any_text(data: bytes) -> str:
    """Return a person's text file as text: Unicode by its marks or as UTF-8, else the likeliest older encoding.

    Those are told apart by their letters: kana for Shift-JIS, common Chinese characters for GB 18030, Cyrillic for
    Windows-1251; else Windows-1252.
    """
    for mark, encoding in _MARKS.items():
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    if (zeros := data[:2000].count(0)) and 2 * zeros >= len(data[:2000]) - 2 - zeros:
        return data.decode("utf-16-be" if data[:1] == b"\0" else "utf-16-le", "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    high = sum(byte > 0x7F for byte in data)
    for encoding, letters, share in _OLD_ENCODINGS:
        if sum(map(len, letters.findall(data))) >= share * high:
            return data.decode(encoding, "replace")
    return data.decode("cp1252", "replace")


def plain_text(value: Any, limit: int = 4000) -> str:
    """Return a hub's HTML description as plain text."""
    text = clean_text(value, 5 * limit)
    return clean_text(html.unescape(_TAG.sub("", _BREAK.sub("\n", text))), limit)


def plain_texts(*values: Any) -> str:
    """Return several descriptions as one plain text, without empty ones."""
    return "\n".join(filter(None, map(plain_text, values)))


def without_lora_tags(prompt: str) -> tuple[str, list[tuple[str, float]]]:
    """The prompt without its `<lora:name:weight>` tags, and those tags."""
    tags = [(name, float(weight or 1)) for name, weight in _LORA_TAG.findall(prompt)]
    return re.sub(r"\s*,\s*(?:,\s*)+", ", ", _LORA_TAG.sub("", prompt)).strip(" ,\n"), tags


def safe_file_name(name: Any) -> str:
    """Return the last part of a remote file name, without characters that paths or shells interpret.

    Raises HubError where it is not the name of a .safetensors file.
    """
    last = re.split(r"[\\/]", clean_text(name, 1000))[-1]
    safe = re.sub(r"[^\w .()\[\]+-]", "_", last).strip(" .")
    if not safe.lower().endswith(".safetensors") or safe.lower() == "safetensors":
        raise HubError(f"{clean_text(name, 80)!r} is not the name of a .safetensors file; others are never downloaded")
    stem = safe[:-12].encode()[:200].decode("utf-8", "ignore").rstrip(" .")
    return ("_" if _DEVICES.match(stem) or not stem else "") + stem + ".safetensors"
