"""What ComfyUI knows and does, in the terms of `intelligence`."""
