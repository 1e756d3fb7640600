"""Adapters between ComfyUI and `intelligence`."""
