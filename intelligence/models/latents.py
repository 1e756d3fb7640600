"""Latents that networks denoise: channels, pixels a cell, and frames."""

from __future__ import annotations

from dataclasses import dataclass

from .kinds import Architecture


@dataclass(frozen=True)
class LatentKind:
    """Shape of a latent: (batch, channels, height / scale, width / scale), with an axis of frames before the height
    where `video` is True."""

    channels: int
    scale: int = 8
    """Pixels a cell and side."""
    video: bool = False
    """True where the network has an axis of frames; a still is one frame."""


SD = LatentKind(4)
FLUX = LatentKind(16)
FLUX2 = LatentKind(128, 16)
WAN = LatentKind(16, 8, True)
PIXELS = LatentKind(3, 1)

LATENTS = {
    **dict.fromkeys((Architecture.SD1, Architecture.SD2, Architecture.SDXL, Architecture.SDXL_REFINER), SD),
    **dict.fromkeys((Architecture.KOLORS, Architecture.PLAYGROUND, Architecture.PIXART), SD),
    **dict.fromkeys((Architecture.AURAFLOW, Architecture.HUNYUAN_DIT, Architecture.DEMO), SD),
    **dict.fromkeys((Architecture.SD3, Architecture.SD35_LARGE, Architecture.FLUX, Architecture.CHROMA), FLUX),
    **dict.fromkeys((Architecture.LUMINA2, Architecture.Z_IMAGE, Architecture.HIDREAM, Architecture.OMNIGEN2), FLUX),
    **dict.fromkeys((Architecture.LONGCAT_IMAGE, Architecture.OVIS_IMAGE, Architecture.KANDINSKY5), FLUX),
    **dict.fromkeys((Architecture.FLUX2_DEV, Architecture.FLUX2_KLEIN_4B, Architecture.FLUX2_KLEIN_9B), FLUX2),
    **dict.fromkeys(
        (Architecture.ERNIE_IMAGE, Architecture.IDEOGRAM4, Architecture.MAGE_FLOW, Architecture.LENS), FLUX2
    ),
    **dict.fromkeys((Architecture.QWEN_IMAGE, Architecture.KREA2, Architecture.ANIMA), WAN),
    **dict.fromkeys((Architecture.COSMOS_PREDICT2, Architecture.COSMOS_PREDICT2_14B), WAN),
    **dict.fromkeys((Architecture.WAN_1_3B, Architecture.WAN_14B, Architecture.HUNYUAN_VIDEO), WAN),
    **dict.fromkeys((Architecture.CHROMA_RADIANCE, Architecture.HIDREAM_O1), PIXELS),
    Architecture.WAN_5B: LatentKind(48, 16, True),
    Architecture.HUNYUAN_IMAGE: LatentKind(64, 32),
    Architecture.HUNYUAN_VIDEO_15: LatentKind(32, 16, True),
    Architecture.LTX_VIDEO: LatentKind(128, 32, True),
    Architecture.LTX2: LatentKind(128, 32, True),
    Architecture.MOCHI: LatentKind(12, 8, True),
    Architecture.COGVIDEOX: LatentKind(16, 8, True),
}
"""Latent of each network [ComfyUI 0.33 comfy/latent_formats.py, comfy/supported_models.py]. One that is not listed is
not known; a loaded model says it itself."""
