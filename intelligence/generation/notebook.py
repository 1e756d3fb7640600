"""Results as HTML for notebooks. Whatever stands in them is text, whoever wrote it."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape

Tables = Mapping[str, Mapping[str, str]]
"""Title → name → reasons."""


def explanation_html(summary: str, tables: Tables) -> str:
    """Return a summary, and tables that unfold."""
    return f"<p>{escape(summary)}</p>" + "".join(_table(title, rows) for title, rows in tables.items() if rows)


def result_html(png: bytes, explanation: str) -> str:
    """Return an image and its explanation, which is HTML."""
    image = f'<img alt="" style="max-width: 512px" src="data:image/png;base64,{b64encode(png).decode("ascii")}">'
    return f"<div>{image}{explanation}</div>"


def recommendations_html(loras: Sequence[tuple[str, float, float]], prompt: str, explanation: str) -> str:
    """Return LoRAs (name, strength, confidence), the prompt to encode, and an explanation, which is HTML."""
    chosen = {name: f"{strength:g}, {confidence:.0%} sure" for name, strength, confidence in loras}
    applied = _table("LoRAs to apply", chosen, "open") if chosen else "<p>No LoRA is applied.</p>"
    return f"<div>{applied}<p><code>{escape(prompt)}</code></p>{explanation}</div>"


def _table(title: str, rows: Mapping[str, str], state: str = "") -> str:
    cells = "".join(
        f'<tr><th style="text-align: left">{escape(name)}</th><td style="text-align: left">{escape(why)}</td></tr>'
        for name, why in rows.items()
    )
    return f"<details {state}><summary>{escape(title)}</summary><table>{cells}</table></details>"
