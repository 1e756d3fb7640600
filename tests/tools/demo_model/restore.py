"""The shipped weights put back into the training's folder, where its own are gone.

    python -m tests.tools.demo_model.restore

`train_unet` then goes on from them with moments begun anew, and so do LoRAs; the VAE and the text encoders stay as they
are. Rounding cost the weights what `pack_model` prints, and tokens that training gave no meaning have one row.
"""

from __future__ import annotations

import torch

from intelligence.generation import embedded_weights as shape
from intelligence.generation.embedded import DATA

from . import networks
from .runs import path_of


def restore() -> None:
    """Write `unet_weights.pt`, `vae_weights.pt` and `text_weights.pt`. Raises FileExistsError where one is there."""
    components = shape.unpack(DATA / "demo_model.safetensors")
    encoders = networks.text_encoders()
    texts = (components["text_encoder"], components["text_encoder_2"])
    written = {
        "unet_weights.pt": networks.state_of(networks.unet(), components["unet"]),
        "vae_weights.pt": networks.state_of(networks.vae(), components["vae"]),
        "text_weights.pt": [networks.state_of(encoder, state) for encoder, state in zip(encoders, texts, strict=True)],
    }
    for name in written:
        if path_of(name).exists():
            raise FileExistsError(f"{path_of(name)} is there; nothing was written")
    for name, state in written.items():
        torch.save(state, path_of(name))


if __name__ == "__main__":
    path_of("").mkdir(parents=True, exist_ok=True)
    restore()
