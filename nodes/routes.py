"""HTTP routes under /intelligent_generation/, for the pack's page and for scripts on this machine.

ComfyUI's own origin check lets `Origin: null`, cross-site requests without an Origin and rebound hosts through, so
every route here has its own guard.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import Awaitable, Callable
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
from .host.library_scan import library_scan
from .host.server_planner import planner, settings

PREFIX = "/intelligent_generation"
MAX_BODY = 64 * 1024

MAX_SEARCH = 200
"""Characters of a search that are read."""

FOUND = 50
"""Models that a search answers with at most."""

LISTED = ("model_id", "name", "title", "base_model", "family", "lora_kind", "creator")
"""What a search tells of each model."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def register() -> None:
    """Add the routes to ComfyUI's server, once."""
    from server import PromptServer

    server = PromptServer.instance
    for path, handler in READING.items():
        server.routes.get(PREFIX + path)(_guarded(handler))
    for path, handler in CHANGING.items():
        server.routes.post(PREFIX + path)(_guarded(handler))
        server.routes.get(PREFIX + path)(_post_only)
    server.app.on_startup.append(_read_library)


async def generation(request: web.Request) -> web.Response:
    """The stored generation with this id (or with this image id), and its ratings."""
    learning = planner().learning
    stored = await asyncio.to_thread(learning.get_generation, request.match_info["id"])
    ratings = await asyncio.to_thread(learning.ratings, stored.generation_id)
    return web.json_response({**stored.data, "ratings": [rating.to_dict() for rating in ratings]})


async def feedback(request: web.Request) -> web.Response:
    """Store a rating: {"generation_id": …, "rating": 1 … 5, "comments": …}."""
    body = await _json_object(request)
    stored = await asyncio.to_thread(
        planner().learning.record_feedback,
        body.get("generation_id"),
        body.get("rating"),
        body.get("comments", ""),
    )
    return web.json_response(stored.to_dict())


async def library(request: web.Request) -> web.Response:
    """What the registry holds (counts, problems by file) and how far a scan is."""
    status = await asyncio.to_thread(planner().registry.status)
    return web.json_response({**status.to_dict(), "scanning": library_scan.running})


async def rescan(request: web.Request) -> web.Response:
    """Start an incremental scan of ComfyUI's model folders, unless one is under way."""
    library_scan.start()
    return web.json_response({"scanning": True})


async def cancel_scan(request: web.Request) -> web.Response:
    """Stop the scan; it keeps what it has read."""
    library_scan.cancel()
    return web.json_response({"scanning": library_scan.running})


async def models(request: web.Request) -> web.Response:
    """The usable models that hold every word of `?text=`, of `?kind=` (lora, checkpoint, vae, embedding), by name."""
    text, kind = request.query.get("text", "")[:MAX_SEARCH], request.query.get("kind", "lora")
    require(kind in set(ModelKind), f"kind must be one of {', '.join(ModelKind)}, got {kind[:40]!r}")
    found = await asyncio.to_thread(planner().registry.search, text, kind=ModelKind(kind), limit=FOUND)
    return web.json_response([{name: getattr(model, name) for name in LISTED} for model in found])


async def model(request: web.Request) -> web.Response:
    """All that is known of one model: `?name=` takes its id, ComfyUI's name or its file name."""
    found = await asyncio.to_thread(planner().registry.get_model, request.query.get("name", ""))
    return web.json_response(found.to_dict())


async def preview(request: web.Request) -> web.Response:
    """The preview picture of one model (`?name=`), if it is a PNG, JPEG or WebP; 404 where there is none."""
    found = await asyncio.to_thread(planner().registry.preview, request.query.get("name", ""))
    if found is None:
        return _problem(404, "this model has no preview")
    headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'"}
    return web.Response(body=found.data, content_type=found.content_type, headers=headers)


async def _read_library(app: web.Application) -> None:
    """ComfyUI has started: read the model folders in the background."""
    library_scan.start()


async def _post_only(request: web.Request) -> web.Response:
    """ComfyUI's static route would answer 404 to a GET here."""
    raise web.HTTPMethodNotAllowed("GET", ["POST"])


READING: dict[str, Handler] = {
    "/generations/{id}": generation,
    "/library": library,
    "/model": model,
    "/models": models,
    "/preview": preview,
}
CHANGING: dict[str, Handler] = {"/feedback": feedback, "/library/rescan": rescan, "/library/cancel": cancel_scan}
"""Path → handler of POSTs that change a state."""


async def _json_object(request: web.Request) -> dict[str, Any]:
    text = await request.content.read(MAX_BODY + 1)
    if len(text) > MAX_BODY:
        raise InvalidInputError(f"the body is larger than {MAX_BODY} bytes")
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise InvalidInputError("the body must be a JSON object")
    return body


def _guarded(handler: Handler) -> Handler:
    """The handler behind the guard, with the package's errors as JSON answers."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        if refusal := _refusal(request):
            return refusal
        try:
            return await handler(request)
        except (UnknownGenerationError, ModelNotFoundError) as error:
            return _problem(404, str(error))
        except InvalidInputError as error:
            return _problem(400, str(error))
        except IntelligentGenerationError as error:
            return _problem(500, str(error))

    return guarded


def _refusal(request: web.Request) -> web.Response | None:
    """Why this request is not answered: from another site, to a rebound host, or not JSON."""
    headers = request.headers
    if not _is_own_host(request.host):
        return _problem(403, f"host {request.host!r} is not this server; list it in config.json under allowed_hosts")
    origin = headers.get("Origin")
    if origin is not None and origin.partition("://")[2].lower() != request.host.lower():
        return _problem(403, "cross-origin requests are refused")
    if headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
        return _problem(403, "cross-site requests are refused")
    if request.method == "POST" and request.content_type != "application/json":
        return _problem(415, "send application/json")
    return None


def _is_own_host(host: str) -> bool:
    """A rebound DNS name is a public domain; addresses, local names and listed hosts are not."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    name = name.strip("[]").lower()
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return "." not in name or name.endswith((".local", ".localhost")) or name in settings().get("allowed_hosts", [])
    return True


def _problem(status: int, message: str) -> web.Response:
    return web.json_response({"error": message}, status=status)
