"""The pipeline: from a prompt to a rated image. ComfyUI's nodes use parts of it, so nothing is imported here."""
