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
    PLAYGROUND = "playground"
    """SDXL's network, trained on noise levels of its own."""
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
    Architecture.PLAYGROUND: "Playground v2.5",
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
    ANIMAGINE = "animagine"
    PCM = "pcm"
    TCD = "tcd"
    FLASH = "flash"
    SD3 = "sd3"
    SD35_MEDIUM = "sd35_medium"
    SD35_LARGE = "sd35_large"
    SD35_LARGE_TURBO = "sd35_large_turbo"
    FLUX_DEV = "flux_dev"
    FLUX_SCHNELL = "flux_schnell"
    FLUX_KONTEXT = "flux_kontext"
    FLUX2_DEV = "flux2_dev"
    FLUX2_KLEIN = "flux2_klein"
    """The distilled edition."""
    FLUX2_KLEIN_BASE = "flux2_klein_base"
    FLUX3_KLEIN = "flux3_klein"
    FLUX3_KLEIN_DISTILLED = "flux3_klein_distilled"
    CHROMA = "chroma"
    QWEN_IMAGE = "qwen_image"
    QWEN_IMAGE_2512 = "qwen_image_2512"
    QWEN_IMAGE_EDIT = "qwen_image_edit"
    QWEN_IMAGE_21 = "qwen_image_2_1"
    QWEN_IMAGE_21_TURBO = "qwen_image_2_1_turbo"
    Z_IMAGE = "z_image"
    """The base edition, which is guided."""
    Z_IMAGE_TURBO = "z_image_turbo"
    KREA2_RAW = "krea2_raw"
    KREA2_TURBO = "krea2_turbo"
    ANIMA = "anima"
    HIDREAM_FULL = "hidream_full"
    HIDREAM_DEV = "hidream_dev"
    HIDREAM_FAST = "hidream_fast"
    HIDREAM_O1 = "hidream_o1"
    LUMINA2 = "lumina2"
    ERNIE_IMAGE = "ernie_image"
    ERNIE_IMAGE_TURBO = "ernie_image_turbo"
    MOSS_IMAGE = "moss_image"
    MAGE_FLOW = "mage_flow"
    IDEOGRAM4 = "ideogram4"
    WAN = "wan"
    """The 14B and 1.3B models, for stills."""
    WAN_5B = "wan_5b"


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
    Family.ANIMAGINE: "Animagine",
    Family.PCM: "PCM",
    Family.TCD: "TCD",
    Family.FLASH: "Flash",
    Family.SD3: "SD 3 Medium",
    Family.SD35_MEDIUM: "SD 3.5 Medium",
    Family.SD35_LARGE: "SD 3.5 Large",
    Family.SD35_LARGE_TURBO: "SD 3.5 Large Turbo",
    Family.FLUX_DEV: "Flux.1 dev",
    Family.FLUX_SCHNELL: "Flux.1 schnell",
    Family.FLUX_KONTEXT: "Flux.1 Kontext",
    Family.FLUX2_DEV: "Flux.2 dev",
    Family.FLUX2_KLEIN: "Flux.2 Klein",
    Family.FLUX2_KLEIN_BASE: "Flux.2 Klein Base",
    Family.FLUX3_KLEIN: "Flux 3 Klein",
    Family.FLUX3_KLEIN_DISTILLED: "Flux 3 Klein distilled",
    Family.CHROMA: "Chroma",
    Family.QWEN_IMAGE: "Qwen-Image",
    Family.QWEN_IMAGE_2512: "Qwen-Image 2512",
    Family.QWEN_IMAGE_EDIT: "Qwen-Image Edit",
    Family.QWEN_IMAGE_21: "Qwen-Image 2.1",
    Family.QWEN_IMAGE_21_TURBO: "Qwen-Image 2.1 Turbo",
    Family.Z_IMAGE: "Z-Image Base",
    Family.Z_IMAGE_TURBO: "Z-Image Turbo",
    Family.KREA2_RAW: "Krea 2 RAW",
    Family.KREA2_TURBO: "Krea 2 Turbo",
    Family.ANIMA: "Anima",
    Family.HIDREAM_FULL: "HiDream I1 Full",
    Family.HIDREAM_DEV: "HiDream I1 Dev",
    Family.HIDREAM_FAST: "HiDream I1 Fast",
    Family.HIDREAM_O1: "HiDream O1",
    Family.LUMINA2: "Lumina 2",
    Family.ERNIE_IMAGE: "ERNIE-Image",
    Family.ERNIE_IMAGE_TURBO: "ERNIE-Image Turbo",
    Family.MOSS_IMAGE: "MOSS-Image",
    Family.MAGE_FLOW: "Mage-Flow",
    Family.IDEOGRAM4: "Ideogram 4",
    Family.WAN: "Wan",
    Family.WAN_5B: "Wan 5B",
}
"""Their names as people write them."""

SPEED_LORA_FAMILIES = frozenset({Family.PCM, Family.TCD, Family.FLASH})
"""Distillations that are published as LoRAs for models of the UNets, and hardly as checkpoints."""

DISTILLED = frozenset({Family.TURBO, Family.LIGHTNING, Family.HYPER, Family.LCM, Family.DMD2, *SPEED_LORA_FAMILIES})
"""Families of the UNets (SD 1.5, SD 2, SDXL) that say how a checkpoint is sampled, in few steps, and not what its LoRAs
were trained on. Distilled editions of other networks are families of their own."""

CLOSE_FAMILIES = (
    frozenset({Family.ILLUSTRIOUS, Family.NOOBAI, Family.NOOBAI_VPRED}),
    frozenset({Family.SDXL, Family.ANIMAGINE}),
    frozenset({Family.SD35_LARGE, Family.SD35_LARGE_TURBO}),
    frozenset({Family.FLUX_DEV, Family.FLUX_SCHNELL, Family.FLUX_KONTEXT}),
    frozenset({Family.FLUX2_KLEIN, Family.FLUX2_KLEIN_BASE}),
    frozenset({Family.FLUX3_KLEIN, Family.FLUX3_KLEIN_DISTILLED}),
    frozenset({Family.QWEN_IMAGE, Family.QWEN_IMAGE_2512, Family.QWEN_IMAGE_EDIT}),
    frozenset({Family.QWEN_IMAGE_21, Family.QWEN_IMAGE_21_TURBO}),
    frozenset({Family.Z_IMAGE, Family.Z_IMAGE_TURBO}),
    frozenset({Family.KREA2_RAW, Family.KREA2_TURBO}),
    frozenset({Family.HIDREAM_FULL, Family.HIDREAM_DEV, Family.HIDREAM_FAST}),
    frozenset({Family.ERNIE_IMAGE, Family.ERNIE_IMAGE_TURBO}),
)
"""Groups of families whose LoRAs work on each other: those of a base model on its distilled edition."""

ARCHITECTURES = {
    Family.SD15: Architecture.SD1,
    Family.SD2: Architecture.SD2,
    **dict.fromkeys((Family.SDXL, Family.PONY, Family.ILLUSTRIOUS, Family.ANIMAGINE), Architecture.SDXL),
    **dict.fromkeys((Family.NOOBAI, Family.NOOBAI_VPRED), Architecture.SDXL),
    **dict.fromkeys((Family.SD3, Family.SD35_MEDIUM), Architecture.SD3),
    **dict.fromkeys((Family.SD35_LARGE, Family.SD35_LARGE_TURBO), Architecture.SD35_LARGE),
    **dict.fromkeys((Family.FLUX_DEV, Family.FLUX_SCHNELL, Family.FLUX_KONTEXT), Architecture.FLUX),
    Family.FLUX2_DEV: Architecture.FLUX2_DEV,
    **dict.fromkeys((Family.FLUX3_KLEIN, Family.FLUX3_KLEIN_DISTILLED), Architecture.FLUX3),
    Family.CHROMA: Architecture.CHROMA,
    **dict.fromkeys((Family.QWEN_IMAGE, Family.QWEN_IMAGE_2512, Family.QWEN_IMAGE_EDIT), Architecture.QWEN_IMAGE),
    **dict.fromkeys((Family.QWEN_IMAGE_21, Family.QWEN_IMAGE_21_TURBO), Architecture.QWEN_IMAGE_21),
    **dict.fromkeys((Family.Z_IMAGE, Family.Z_IMAGE_TURBO), Architecture.Z_IMAGE),
    **dict.fromkeys((Family.KREA2_RAW, Family.KREA2_TURBO), Architecture.KREA2),
    Family.ANIMA: Architecture.ANIMA,
    **dict.fromkeys((Family.HIDREAM_FULL, Family.HIDREAM_DEV, Family.HIDREAM_FAST), Architecture.HIDREAM),
    Family.HIDREAM_O1: Architecture.HIDREAM_O1,
    Family.LUMINA2: Architecture.LUMINA2,
    **dict.fromkeys((Family.ERNIE_IMAGE, Family.ERNIE_IMAGE_TURBO), Architecture.ERNIE_IMAGE),
    Family.MOSS_IMAGE: Architecture.MOSS_IMAGE,
    Family.MAGE_FLOW: Architecture.MAGE_FLOW,
    Family.IDEOGRAM4: Architecture.IDEOGRAM4,
    Family.WAN: Architecture.WAN_14B,
    Family.WAN_5B: Architecture.WAN_5B,
    Family.DEMO: Architecture.DEMO,
}
"""The architecture of a family, the commonest where it has several; distilled families of the UNets have several."""

BASE_FAMILIES = {
    Architecture.SD1: Family.SD15,
    Architecture.SD2: Family.SD2,
    Architecture.SDXL: Family.SDXL,
    Architecture.SD3: Family.SD3,
    Architecture.SD35_LARGE: Family.SD35_LARGE,
    Architecture.FLUX: Family.FLUX_DEV,
    Architecture.FLUX2_DEV: Family.FLUX2_DEV,
    Architecture.FLUX2_KLEIN_4B: Family.FLUX2_KLEIN,
    Architecture.FLUX2_KLEIN_9B: Family.FLUX2_KLEIN,
    Architecture.FLUX3: Family.FLUX3_KLEIN,
    Architecture.CHROMA: Family.CHROMA,
    Architecture.QWEN_IMAGE: Family.QWEN_IMAGE,
    Architecture.QWEN_IMAGE_21: Family.QWEN_IMAGE_21,
    Architecture.Z_IMAGE: Family.Z_IMAGE_TURBO,
    Architecture.KREA2: Family.KREA2_TURBO,
    Architecture.ANIMA: Family.ANIMA,
    Architecture.HIDREAM: Family.HIDREAM_DEV,
    Architecture.HIDREAM_O1: Family.HIDREAM_O1,
    Architecture.LUMINA2: Family.LUMINA2,
    Architecture.ERNIE_IMAGE: Family.ERNIE_IMAGE_TURBO,
    Architecture.MOSS_IMAGE: Family.MOSS_IMAGE,
    Architecture.MAGE_FLOW: Family.MAGE_FLOW,
    Architecture.IDEOGRAM4: Family.IDEOGRAM4,
    Architecture.WAN_14B: Family.WAN,
    Architecture.WAN_1_3B: Family.WAN,
    Architecture.WAN_5B: Family.WAN_5B,
    Architecture.DEMO: Family.DEMO,
}
"""The family of an architecture where nothing tells its editions apart: of a base and a distilled edition the one whose
settings spoil the other less, which is the distilled one: it turns a guided picture dull, the other one a picture
black. An architecture that is not listed has no family."""

UNETS = frozenset({Architecture.SD1, Architecture.SD2, Architecture.SDXL, Architecture.DEMO})
"""Networks that sample noise or v on the schedule of SD, for which the distilled families are."""


class ModelKind(StrEnum):
    """Kinds of model files."""

    CHECKPOINT = "checkpoint"
    LORA = "lora"
    VAE = "vae"
    EMBEDDING = "embedding"
    UPSCALER = "upscaler"
    """Enlarges pictures; see `parameters/upscalers.py`."""


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
    own: bool = False
    """True where it is of a picture that the user made."""
