"""Intelligent Generation: ComfyUI's door into the pack."""

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():  # type: ignore[no-untyped-def]
    """Called by ComfyUI once its server is set up; nothing of the pack is imported before."""
    from .nodes import load_extension

    return load_extension()
