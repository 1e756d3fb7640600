"""The user whose ratings count, where ComfyUI runs with --multi-user."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

from aiohttp import web
from comfy.cli_args import args

from .queued_prompts import running_extra_data

HEADER, KEY = "comfy-user", "intelligent_generation_user"
"""ComfyUI's header of a request, and the place of its value in a queued prompt's extra data."""

_requesting: ContextVar[str | None] = ContextVar("requesting", default=None)


def register() -> None:
    """Have ComfyUI's server tell who queues a prompt, and who asks a route; nothing without --multi-user."""
    from server import PromptServer

    if args.multi_user:
        PromptServer.instance.app.middlewares.append(_remember)
        PromptServer.instance.add_on_prompt_handler(_on_prompt)


def current_user() -> str:
    """Return the id of the user for whose request or prompt this is called; empty without --multi-user."""
    if not args.multi_user:
        return ""
    user = _requesting.get()
    return str(running_extra_data().get(KEY, "")) if user is None else user


@web.middleware
async def _remember(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    from server import PromptServer

    named = request.headers.get(HEADER, "")
    _requesting.set(named if named in PromptServer.instance.user_manager.users else "")
    return await handler(request)


def _on_prompt(request: dict[str, Any]) -> dict[str, Any]:
    extra = request.get("extra_data")
    return {**request, "extra_data": {**(extra if isinstance(extra, dict) else {}), KEY: _requesting.get() or ""}}
