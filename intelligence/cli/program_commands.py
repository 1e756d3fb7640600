"""Commands for other programs: the MCP server, and completion in shells."""

from __future__ import annotations

import argparse

from .terminal import Answer


def mcp(options: argparse.Namespace) -> Answer:
    from ..agents.agent_tools import AgentTools, Right
    from ..agents.mcp_server import serve

    rights = frozenset(map(Right, options.allow))
    serve(AgentTools(rights, options.base_model, options.pictures), options.http)
    return None, ""


def completion(options: argparse.Namespace) -> Answer:
    from .arguments import parser
    from .completion_scripts import completion_script

    script = completion_script(parser(), options.shell)
    return {"shell": options.shell, "script": script}, script
