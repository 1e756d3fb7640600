"""HTTP routes under /intelligent_generation/, for the pack's page and for scripts on this machine.

ComfyUI's own origin check admits `Origin: null`, cross-site requests without an Origin and rebound hosts, so every
route here has its own guard.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from aiohttp import web

from ..intelligence.config import require
from ..intelligence.errors import (
    IntelligentGenerationError,
    InvalidInputError,
    ModelNotFoundError,
    UnknownGenerationError,
)
from ..intelligence.models import ModelKind
from ..intelligence.records import json_parts
from . import batch_routes, generation_routes, history_routes, library_routes, rating_routes, settings_routes
from .host.library_scan import library_scan
from .host.server_planner import planner, settings
from .host.told_paths import without_folders

PREFIX = "/intelligent_generation"
MAX_BODY_BYTES = 64 * 1024
MAX_SEARCH_CHARACTERS = 200
MAX_NAME_CHARACTERS = 1000
MAX_MODELS = 50
"""Models in the answer to a search."""

DEFAULT_GENERATIONS = 20
MAX_GENERATIONS = 500
"""Generations in one list."""

MODEL_FIELDS = ("model_id", "name", "title", "base_model", "family", "lora_kind", "creator")
"""Fields of each model in the answer to a search."""

STATUSES = {UnknownGenerationError: 404, ModelNotFoundError: 404, InvalidInputError: 400}
"""Error → HTTP status; 500 for the package's other errors."""

Arguments = Mapping[str, Any]
"""The path's and the query's parameters of a GET, the JSON object of a POST."""


def register() -> None:
    """Add the routes to ComfyUI's server, once."""
    from server import PromptServer

    server = PromptServer.instance
    for path, answer in GET.items():
        server.routes.get(PREFIX + path)(_handler(answer))
    for path, answer in POST.items():
        server.routes.post(PREFIX + path)(_handler(answer))
        if path not in GET:
            server.routes.get(PREFIX + path)(_refuse_get)
    server.app.on_startup.append(_scan_library)


def generation(arguments: Arguments) -> dict[str, Any]:
    """Return the stored generation with this id (or with this image id), and its ratings."""
    learning = planner().learning
    stored = learning.get_generation(arguments["id"])
    return {**stored.data, "ratings": [rating.to_dict() for rating in learning.ratings(stored.generation_id)]}


def generations(arguments: Arguments) -> list[dict[str, Any]]:
    """Return the newest `?limit=` generations, newest first: id, images, time, prompt, stars.

    `?to_rate=8`: so many that are not rated, and whose stars would tell the most.
    """
    from ..intelligence.generation.history import generations_to_rate, recent_generations

    if (wanted := arguments.get("to_rate")) is not None:
        require(wanted.isdecimal(), f"to_rate must be a number, got {wanted[:40]!r}")
        found = generations_to_rate(planner().learning, min(int(wanted), MAX_GENERATIONS))
        return [summary.to_dict() for summary in found]

    limit = arguments.get("limit", str(DEFAULT_GENERATIONS))
    require(limit.isdecimal(), f"limit must be a number, got {limit[:40]!r}")
    count = min(int(limit), MAX_GENERATIONS)
    return [summary.to_dict() for summary in recent_generations(planner().learning, count)]


def library(arguments: Arguments) -> dict[str, Any]:
    """Return the registry's counts and problems by file, and the progress of a scan."""
    return {**planner().registry.status().to_dict(), "scanning": library_scan.running}


def rescan(arguments: Arguments) -> dict[str, Any]:
    """Start an incremental scan of ComfyUI's model folders, unless one is running."""
    library_scan.start()
    return {"scanning": True}


def cancel_scan(arguments: Arguments) -> dict[str, Any]:
    """Stop the scan; it keeps what it has read."""
    library_scan.cancel()
    return {"scanning": library_scan.running}


def models(arguments: Arguments) -> list[dict[str, Any]]:
    """Return the usable models of `?kind=` (lora, checkpoint, vae, embedding) with every word of `?text=`, by name."""
    text, kind = arguments.get("text", "")[:MAX_SEARCH_CHARACTERS], arguments.get("kind", "lora")
    require(kind in set(ModelKind), f"kind must be one of {', '.join(ModelKind)}, got {kind[:40]!r}")
    found = planner().registry.search(text, kind=ModelKind(kind), limit=MAX_MODELS)
    return [{name: getattr(model, name) for name in MODEL_FIELDS} for model in found]


def model(arguments: Arguments) -> dict[str, Any]:
    """Return the record of one model, what the user corrected of it, and the ids of its copies.

    `?name=` is its id, ComfyUI's name or its file name.
    """
    registry = planner().registry
    found = registry.get_model(arguments.get("name", "")[:MAX_NAME_CHARACTERS])
    correction = registry.correction(found.model_id).to_plain()
    base = library_routes.base_title(found)
    return {**found.to_dict(), "base": base, "correction": correction, "copies": registry.copies(found.model_id)}


def correct(arguments: Arguments) -> dict[str, Any]:
    """Store what the user says about a model: {"name": …, "strength": 0.8, …}; null takes a field back.

    Fields: those of `Correction`. {"reset": true} takes back all others. Returns what GET /model does.
    """
    given = {name: value for name, value in arguments.items() if name not in ("name", "reset")}
    require(isinstance(arguments.get("name"), str), "the body lacks 'name', the model to correct")
    registry, name = planner().registry, arguments["name"]
    if arguments.get("reset") is True:
        given = {**dict.fromkeys(registry.correction(name).to_plain()), **given}
    require(bool(given) or "reset" in arguments, 'the body lacks what to correct, such as {"strength": 0.8}')
    return model({"name": registry.correct(name, **given).model_id})


def preview(arguments: Arguments) -> web.Response:
    """Return the preview picture of one model (`?name=`), if it is a PNG, JPEG or WebP.

    404 if there is none, or no such model; 204 with `?optional=1`, so that a page that tries every model logs no error.
    """
    try:
        found = planner().registry.preview(arguments.get("name", ""))
    except ModelNotFoundError:
        if "optional" not in arguments:
            raise
        found = None
    if found is None:
        return web.Response(status=204) if "optional" in arguments else _problem(404, "this model has no preview")
    headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'"}
    return web.Response(body=found.data, content_type=found.content_type, headers=headers)


GET = {
    "/generations": generations,
    "/generations/{id}": generation,
    "/library": library,
    "/model": model,
    "/models": models,
    "/preview": preview,
    **batch_routes.GET,
    **generation_routes.GET,
    **rating_routes.GET,
    **history_routes.GET,
    **library_routes.GET,
    **settings_routes.GET,
}
POST = {
    **batch_routes.POST,
    **rating_routes.POST,
    **history_routes.POST,
    **library_routes.POST,
    **settings_routes.POST,
    "/library/rescan": rescan,
    "/library/cancel": cancel_scan,
    "/model/correct": correct,
}


async def _scan_library(app: web.Application) -> None:
    library_scan.start()


async def _refuse_get(request: web.Request) -> web.StreamResponse:
    """Answer 405, where ComfyUI's static route would answer 404."""
    raise web.HTTPMethodNotAllowed("GET", ["POST"])


def _handler(answer: Callable[[Arguments], Any]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Return aiohttp's handler of a route: guarded, with the package's errors as JSON answers.

    `answer` returns a response, JSON as bytes, or what is sent as JSON. It may block: it runs in a thread, not on the
    event loop.
    """

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            if refusal := _refusal(request):
                return refusal
            arguments = await _body(request) if request.method == "POST" else {**request.query}
            return await asyncio.to_thread(_answered, answer, {**arguments, **request.match_info})
        except IntelligentGenerationError as error:
            return _problem(STATUSES.get(type(error), 500), without_folders(str(error)))

    return handle


def _answered(answer: Callable[[Arguments], Any], arguments: Arguments) -> web.StreamResponse:
    found = answer(arguments)
    if isinstance(found, web.StreamResponse):
        return found
    body = found if isinstance(found, bytes) else "".join(json_parts(found)).encode()
    return web.Response(body=body, content_type="application/json", charset="utf-8")


async def _body(request: web.Request) -> dict[str, Any]:
    """Return the JSON object of a request; the picture that it sends, with the query's parameters."""
    if request.content_type in rating_routes.PICTURE_TYPES:
        picture = await _read(request, rating_routes.MAX_PICTURE_BYTES)
        return {**request.query, "picture": picture, "picture_type": request.content_type}
    try:
        body = json.loads(await _read(request, _limit(request)))
    except (ValueError, RecursionError) as error:
        if isinstance(error, InvalidInputError):
            raise
        body = None
    if not isinstance(body, dict) or "picture" in body:
        raise InvalidInputError("the body must be a JSON object")
    return body


async def _read(request: web.Request, limit: int) -> bytes:
    """Return the body of a request, which may come in several pieces."""
    found = bytearray()
    async for piece in request.content.iter_any():
        found += piece
        require(len(found) <= limit, f"the body is larger than {limit} bytes")
    return bytes(found)


def _refusal(request: web.Request) -> web.Response | None:
    """Return the answer to a request from another site, to a rebound host, or of a form; None for all others.

    A page of another site can send forms and plain text unasked, and neither JSON nor pictures.
    """
    headers = request.headers
    if not _is_own_host(request.host):
        return _problem(403, f"host {request.host!r} is not this server; list it in config.json under allowed_hosts")
    origin = headers.get("Origin")
    if origin is not None and origin.partition("://")[2].lower() != request.host.lower():
        return _problem(403, "cross-origin requests are refused")
    if headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
        return _problem(403, "cross-site requests are refused")
    taken = ("application/json", *_pictures_for(request))
    if request.method == "POST" and request.content_type not in taken:
        return _problem(415, f"send {' or '.join(taken)}, and say so in the header Content-Type")
    return None


def _limit(request: web.Request) -> int:
    """Return how many bytes of JSON a request may send."""
    return rating_routes.MAX_IMPORT_BYTES if request.path.endswith("/learned/import") else MAX_BODY_BYTES


def _pictures_for(request: web.Request) -> Iterable[str]:
    return rating_routes.PICTURE_TYPES if request.path.removeprefix("/api").startswith(f"{PREFIX}/feedback") else ()


def _is_own_host(host: str) -> bool:
    """Return whether `host` is an address, a local name or a listed host: a rebound DNS name is a public domain."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    name = name.strip("[]").lower()
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return "." not in name or name.endswith((".local", ".localhost")) or name in settings().allowed_hosts
    return True


def _problem(status: int, message: str) -> web.Response:
    return web.json_response({"error": message}, status=status)
