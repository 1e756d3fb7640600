"""Forged requests to the pack's routes, for `tests/comfyui/test_forged_requests.py` and the benchmark `fuzz_routes`.

Every one is answered with a status below 500, whatever its path, query and body are.
"""

from __future__ import annotations

import http.client
import json
import urllib.parse
from typing import NamedTuple

from hypothesis import strategies as st

PREFIX = "/intelligent_generation"
TIMEOUT_SECONDS = 30

READING = (
    "/generations",
    "/generations/{}",
    "/generations/{}/history",
    "/generations/{}/again",
    "/library",
    "/library/cards",
    "/library/sets",
    "/library/usage",
    "/history",
    "/history/used",
    "/learned",
    "/learned/export",
    "/model",
    "/models",
    "/preview",
    "/settings",
    "/thumbnail",
)
QUERIES = ("name", "text", "kind", "limit", "to_rate", "checkpoint", "id", "optional", "rating")

SOUND: dict[str, dict[str, object]] = {
    "/feedback": {"generation_id": "unknown", "rating": 3, "comments": "x"},
    "/feedback/remove": {"image": {"filename": "x.png", "subfolder": "", "type": "output"}},
    "/feedback/pick": {"generation_id": "unknown"},
    "/learned/drop": {"numbers": [10**9]},
    "/learned/import": {"schema": 1, "type": "ratings", "ratings": []},
    "/library/sets": {"name": "", "loras": []},
    "/library/always": {"lora": "no such LoRA", "strength": 0.5},
    "/model/correct": {"name": "no such model", "strength": 0.8, "triggers": ["a, b"], "base": "sdxl"},
    "/settings": {"ollama": {"model": ""}},
}
"""Route → a body of its form that changes nothing."""

PICTURES = ("image/png", "image/jpeg", "image/webp")


class Forged(NamedTuple):
    """A request."""

    method: str
    path: str
    body: bytes | None
    headers: dict[str, str]


_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.floats(),
        st.text(max_size=40),
        st.sampled_from(["", "unknown", "../x", "\0", "9" * 400, "<img onerror>", "%", '"', "\u202e"]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=8,
)


@st.composite
def requests(draw: st.DrawFn) -> Forged:
    """Draw a request: a GET with odd ids and queries, or a POST of a damaged body."""
    if draw(st.booleans()):
        text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
        path = draw(st.sampled_from(READING)).format(urllib.parse.quote(draw(text), safe=""))
        query = draw(st.dictionaries(st.sampled_from(QUERIES), text, max_size=3))
        return Forged("GET", f"{PREFIX}{path}?{urllib.parse.urlencode(query)}", None, {})
    route, sound = draw(st.sampled_from(sorted(SOUND.items(), key=lambda each: each[0])))
    body = {**sound, **draw(st.dictionaries(st.sampled_from([*sound, "x"]), _values, max_size=2))}
    if draw(st.booleans()):  # a field too few
        body.pop(draw(st.sampled_from([*body])))
    if route.startswith("/library/"):  # no set is made or deleted, no LoRA kept for always
        body |= {"name": "", "strength": None}
    data = json.dumps(body).encode()
    cut = draw(st.integers(0, len(data)))
    if draw(st.integers(0, 3)) == 0:
        data = data[:cut] + draw(st.binary(max_size=30)) + data[cut:]
    kind = draw(st.sampled_from(["application/json"] * 6 + [*PICTURES, "text/plain", ""]))
    return Forged("POST", PREFIX + route, data, {"Content-Type": kind})


def send(address: str, request: Forged) -> tuple[int, bytes]:
    """Return status and body of the answer of the server at `address` (host:port)."""
    connection = http.client.HTTPConnection(address, timeout=TIMEOUT_SECONDS)
    try:
        connection.request(request.method, request.path, request.body, request.headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
