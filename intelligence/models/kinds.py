"""Kinds, architectures and families of models, facts about families, and the small parts of records."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Architecture(StrEnum):
    """Network of a model: its modules and their widths. LoRAs only fit their own; see `architecture_fit`."""

    SD1 = "sd1"
    SD2 = "sd2"
    SDXL = "sdxl"
    SD3 = "sd3"
    """SD 3 Medium and SD 3.5 Medium."""
    FLUX = "flux"
    """Flux.1: dev, schnell, Kontext, Krea."""
    OTHER = "other"
    """Stored by earlier versions for everything else: tells no more than `UNKNOWN`."""
    UNKNOWN = "unknown"
    SDXL_REFINER = "sdxl_refiner"
    KOLORS = "kolors"
    """SDXL's network, trained on another text encoder."""
    CASCADE = "cascade"
    SVD = "svd"
    SD35_LARGE = "sd35_large"
    CHROMA = "chroma"
    """Flux.1's blocks without their modulation, and without guidance."""
    CHROMA_RADIANCE = "chroma_radiance"
    FLUX2_DEV = "flux2_dev"
    FLUX2_KLEIN_4B = "flux2_klein_4b"
    FLUX2_KLEIN_9B = "flux2_klein_9b"
    FLUX3 = "flux3"
    LONGCAT_IMAGE = "longcat_image"
    OVIS_IMAGE = "ovis_image"
    QWEN_IMAGE = "qwen_image"
    """Qwen-Image up to 2512, Edit and Layered."""
    QWEN_IMAGE_21 = "qwen_image_2_1"
    Z_IMAGE = "z_image"
    LUMINA2 = "lumina2"
    KREA2 = "krea2"
    ANIMA = "anima"
    COSMOS_PREDICT2 = "cosmos_predict2"
    """The 2B model, whose blocks Anima has as well."""
    COSMOS_PREDICT2_14B = "cosmos_predict2_14b"
    WAN_1_3B = "wan_1_3b"
    WAN_5B = "wan_5b"
    WAN_14B = "wan_14b"
    HIDREAM = "hidream"
    HIDREAM_O1 = "hidream_o1"
    ERNIE_IMAGE = "ernie_image"
    MOSS_IMAGE = "moss_image"
    MAGE_FLOW = "mage_flow"
    IDEOGRAM4 = "ideogram4"
    LENS = "lens"
    OMNIGEN2 = "omnigen2"
    HUNYUAN_VIDEO = "hunyuan_video"
    HUNYUAN_VIDEO_15 = "hunyuan_video_15"
    HUNYUAN_IMAGE = "hunyuan_image"
    HUNYUAN_DIT = "hunyuan_dit"
    LTX_VIDEO = "ltx_video"
    LTX2 = "ltx2"
    MOCHI = "mochi"
    COGVIDEOX = "cogvideox"
    PIXART = "pixart"
    SANA = "sana"
    AURAFLOW = "auraflow"
    KANDINSKY5 = "kandinsky5"
    DEMO = "demo"
    """The embedded demo model: SDXL's modules in small, on a text 192 wide."""


ARCHITECTURE_TITLES = {
    Architecture.SD1: "SD 1.5",
    Architecture.SD2: "SD 2",
    Architecture.SDXL: "SDXL",
    Architecture.SD3: "SD 3 Medium",
    Architecture.FLUX: "Flux.1",
    Architecture.OTHER: "unknown",
    Architecture.UNKNOWN: "unknown",
    Architecture.SDXL_REFINER: "SDXL Refiner",
    Architecture.KOLORS: "Kolors",
    Architecture.CASCADE: "Stable Cascade",
    Architecture.SVD: "Stable Video Diffusion",
    Architecture.SD35_LARGE: "SD 3.5 Large",
    Architecture.CHROMA: "Chroma",
    Architecture.CHROMA_RADIANCE: "Chroma Radiance",
    Architecture.FLUX2_DEV: "Flux.2 dev",
    Architecture.FLUX2_KLEIN_4B: "Flux.2 Klein 4B",
    Architecture.FLUX2_KLEIN_9B: "Flux.2 Klein 9B",
    Architecture.FLUX3: "Flux 3",
    Architecture.LONGCAT_IMAGE: "LongCat-Image",
    Architecture.OVIS_IMAGE: "Ovis-Image",
    Architecture.QWEN_IMAGE: "Qwen-Image",
    Architecture.QWEN_IMAGE_21: "Qwen-Image 2.1",
    Architecture.Z_IMAGE: "Z-Image",
    Architecture.LUMINA2: "Lumina 2",
    Architecture.KREA2: "Krea 2",
    Architecture.ANIMA: "Anima",
    Architecture.COSMOS_PREDICT2: "Cosmos Predict2",
    Architecture.COSMOS_PREDICT2_14B: "Cosmos Predict2 14B",
    Architecture.WAN_1_3B: "Wan 1.3B",
    Architecture.WAN_5B: "Wan 5B",
    Architecture.WAN_14B: "Wan 14B",
    Architecture.HIDREAM: "HiDream I1",
    Architecture.HIDREAM_O1: "HiDream O1",
    Architecture.ERNIE_IMAGE: "ERNIE-Image",
    Architecture.MOSS_IMAGE: "MOSS-Image",
    Architecture.MAGE_FLOW: "Mage-Flow",
    Architecture.IDEOGRAM4: "Ideogram 4",
    Architecture.LENS: "Lens",
    Architecture.OMNIGEN2: "OmniGen2",
    Architecture.HUNYUAN_VIDEO: "HunyuanVideo",
    Architecture.HUNYUAN_VIDEO_15: "HunyuanVideo 1.5",
    Architecture.HUNYUAN_IMAGE: "HunyuanImage 2.1",
    Architecture.HUNYUAN_DIT: "HunyuanDiT",
    Architecture.LTX_VIDEO: "LTX-Video",
    Architecture.LTX2: "LTX-2",
    Architecture.MOCHI: "Mochi",
    Architecture.COGVIDEOX: "CogVideoX",
    Architecture.PIXART: "PixArt",
    Architecture.SANA: "Sana",
    Architecture.AURAFLOW: "AuraFlow",
    Architecture.KANDINSKY5: "Kandinsky 5",
    Architecture.DEMO: "embedded demo",
}
"""Their names as people write them."""


class Family(StrEnum):
    """Groups of checkpoints of one architecture with the same settings and quality tags."""

    SDXL = "sdxl"
    PONY = "pony"
    ILLUSTRIOUS = "illustrious"
    NOOBAI = "noobai"
    NOOBAI_VPRED = "noobai_vpred"
    TURBO = "turbo"
    LIGHTNING = "lightning"
    HYPER = "hyper"
    LCM = "lcm"
    DMD2 = "dmd2"
    SD15 = "sd15"
    SD2 = "sd2"
    DEMO = "demo"
    """The embedded demo model."""
    UNKNOWN = "unknown"


TITLES = {
    Family.SDXL: "SDXL",
    Family.PONY: "Pony",
    Family.ILLUSTRIOUS: "Illustrious",
    Family.NOOBAI: "NoobAI",
    Family.NOOBAI_VPRED: "NoobAI v-pred",
    Family.TURBO: "Turbo",
    Family.LIGHTNING: "Lightning",
    Family.HYPER: "Hyper-SD",
    Family.LCM: "LCM",
    Family.DMD2: "DMD2",
    Family.SD15: "SD 1.5",
    Family.SD2: "SD 2",
    Family.DEMO: "the embedded demo model",
    Family.UNKNOWN: "unknown",
}
"""Their names as people write them."""

DISTILLED = frozenset({Family.TURBO, Family.LIGHTNING, Family.HYPER, Family.LCM, Family.DMD2})
"""Families that say how a checkpoint is sampled, in few steps, and not what its LoRAs were trained on."""

CLOSE_FAMILIES = (frozenset({Family.ILLUSTRIOUS, Family.NOOBAI, Family.NOOBAI_VPRED}),)
"""Groups of families whose LoRAs work on each other."""

ARCHITECTURES = {
    Family.SD15: Architecture.SD1,
    Family.SD2: Architecture.SD2,
    Family.SDXL: Architecture.SDXL,
    Family.PONY: Architecture.SDXL,
    Family.ILLUSTRIOUS: Architecture.SDXL,
    Family.NOOBAI: Architecture.SDXL,
    Family.NOOBAI_VPRED: Architecture.SDXL,
    Family.DEMO: Architecture.DEMO,
}
"""The one architecture of a family; distilled families have several."""

BASE_FAMILIES = {
    Architecture.SD1: Family.SD15,
    Architecture.SD2: Family.SD2,
    Architecture.SDXL: Family.SDXL,
    Architecture.DEMO: Family.DEMO,
}
"""The family of an architecture's original model. Other architectures have no families here."""


class ModelKind(StrEnum):
    """Kinds of model files."""

    CHECKPOINT = "checkpoint"
    LORA = "lora"
    VAE = "vae"
    EMBEDDING = "embedding"


class LoRAKind(StrEnum):
    """Purposes of LoRAs."""

    STYLE = "style"
    CHARACTER = "character"
    CONCEPT = "concept"
    EFFECT = "effect"
    SPEED = "speed"
    """Few-step distillation (Lightning, Hyper, LCM, DMD2): never chosen by words of the prompt."""
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Finding:
    """A fact about a model, with its source and confidence (0 to 1)."""

    value: str
    source: str
    confidence: float


@dataclass(frozen=True)
class TriggerSet:
    """Trigger words that are used together."""

    words: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class ExamplePrompt:
    """A prompt that a person used with the LoRA, and its strength there."""

    prompt: str
    weight: float | None = None
    stacked: bool | None = None
    """True where other LoRAs were used with it; None: unknown."""
    version: int | None = None
    """The hub's id of the version that was used; None: not known."""
