"""Modes, limits and preferences that users set, checked where they are made and edited."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from .errors import InvalidInputError
from .given_files import expanded
from .records import ValidatedRecord
from .settings_files import read_settings, write_settings
from .validation import adapter, bounds, checked, read_user_file, validated

EMBEDDED_MODEL = "embedded"
"""The small trained SDXL that comes with the package."""

DEFAULT_BASE_MODEL = "stabilityai/sdxl-base-1.0"

BASE_MODEL_ALIASES = {DEFAULT_BASE_MODEL: "stabilityai/stable-diffusion-xl-base-1.0"}

MAX_LORA_STRENGTH = 10.0
"""Largest strength of a LoRA, of either sign; useful values lie within ±2."""

MAX_SEED = 2**64 - 1

AUTO = "auto"
"""Value of an input that leaves the choice to the pack."""

ASPECTS = {"square": 1.0, "portrait": 832 / 1216, "landscape": 1216 / 832, "tall": 768 / 1344, "wide": 1344 / 768}
"""Shape → width / height; `W:H` is understood too."""

HOME_VARIABLE = "INTELLIGENT_GENERATION_HOME"

CONFIG_FILE = "config.json"
"""File of the data folder with the user's settings."""

SERVER_ADDRESS = r"^https?://[^/?#@\s]+/?$"
"""Pattern of a ComfyUI server's address."""


class _Named(StrEnum):
    """Enum whose values are its names; they are taken in lower case too."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        return cls.__members__.get(value.upper()) if isinstance(value, str) else None


class OperationMode(_Named):
    """The one who decides: the pack (AUTO), the user on its suggestions (ASSISTED), the user alone (MANUAL)."""

    AUTO = "AUTO"
    ASSISTED = "ASSISTED"
    MANUAL = "MANUAL"


class OnUnconfirmed(StrEnum):
    """Behaviour of ASSISTED mode in a graph while no selection is confirmed."""

    ERROR = "error"
    USE_SUGGESTIONS = "use_suggestions"
    SUGGEST_ONLY = "suggest_only"
    """Show the suggestions and load no model; the page's *Suggest* button queues this."""


class Priority(_Named):
    """The side to favour where speed and quality differ."""

    SPEED = "SPEED"
    BALANCED = "BALANCED"
    QUALITY = "QUALITY"


class SecondPassUse(StrEnum):
    """Use of a second pass, in which a picture is enlarged and sampled again."""

    AUTO = "auto"
    """At sizes beyond what the model was trained for."""
    ON = "on"
    """Always; a picture that needs none gets one and a half times its sides."""
    OFF = "off"


class OffloadStrategy(_Named):
    """Place of the weights while sampling.

    FULL_GPU: all on the device. CPU_OFFLOAD: one model at a time on the device. SEQUENTIAL: one leaf module at a time
    (slowest, needs least memory). AUTO: the fastest of these that fits.
    """

    AUTO = "AUTO"
    SEQUENTIAL = "SEQUENTIAL"
    CPU_OFFLOAD = "CPU_OFFLOAD"
    FULL_GPU = "FULL_GPU"


class VariationStrategy(_Named):
    """The difference between the images of a batch."""

    SEED_VARIATION = "SEED_VARIATION"
    PARAM_VARIATION = "PARAM_VARIATION"
    LORA_VARIATION = "LORA_VARIATION"


def require(condition: bool, message: str) -> None:
    """Raise InvalidInputError(message) unless `condition` holds."""
    if not condition:
        raise InvalidInputError(message)


def check_seed(seed: int) -> int:
    """Return `seed` if it is an integer from 0 to 2**64 − 1. Raises InvalidInputError."""
    return checked("seed", seed, int, ge=0, le=MAX_SEED)


class Settings(ValidatedRecord):
    """Base of what people write by hand: an unknown name is an error that says which known one is nearest."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {
        **ValidatedRecord.__pydantic_config__,
        "extra": "forbid",
        "str_strip_whitespace": True,
    }


@dataclass
class GenerationConstraints(Settings):
    """Budgets of one generation. None: no limit."""

    max_time_seconds: Annotated[float, bounds(gt=0)] | None = None
    max_vram_gb: Annotated[float, bounds(gt=0)] | None = None
    """GiB."""
    priority: Priority = Priority.BALANCED
    hold_time_limit: bool = True
    """Change a run in flight that would exceed `max_time_seconds`: guidance ends earlier, then fewer steps."""


@dataclass
class LoRAPreferences(Settings):
    """Number of LoRAs, and the confidence from which the pack applies one by itself."""

    max_loras: Annotated[int, bounds(ge=0)] = 3
    min_confidence: Annotated[float, bounds(ge=0, le=1)] = 0.3
    """More than nine of ten LoRAs applied from here on are right; measured in intelligence/lora/search/README.md."""
    allow_style_mixing: bool = False
    dense_text: bool | None = None
    """Without effect: an extra that compared meaning is gone. Accepted, and told, so that older settings still open."""
    unlearned_share: Annotated[float, bounds(ge=0, le=1)] = 0.0
    """Share of prompts on which AUTO chooses without learning, so that what learning gains can be told; 0: none."""
    explore_every: Annotated[int, bounds(ge=0)] = 0
    """On one prompt in so many AUTO makes a second set, with a LoRA that is worth trying; 0: never. Rate both: what is
    never tried cannot be learned."""


@dataclass
class MemorySettings(Settings):
    """Limits within which the model is fitted onto the device."""

    offload_strategy: OffloadStrategy = OffloadStrategy.AUTO
    max_vram_gb: Annotated[float, bounds(gt=0)] | None = None
    """GiB; None: what is free."""
    exact_weights: bool = False
    """Never round weights to make them fit, even where that would be faster, so that the picture of a seed does not
    depend on how much memory is free."""


@dataclass
class OllamaConfig(Settings):
    """A local Ollama server that helps to read prompts. It comes from configuration, never from a workflow."""

    base_url: Annotated[str, bounds(pattern="^https?://")] = "http://127.0.0.1:11434"
    model: Annotated[str, bounds(min_length=1)] = "qwen3.5:4b"
    timeout_seconds: Annotated[float, bounds(gt=0)] = 20.0


@dataclass
class PipelineConfig(Settings):
    """Configuration of `IntelligentGenerationPipeline`."""

    base_model: Annotated[str, bounds(min_length=1)] = DEFAULT_BASE_MODEL
    """A Hugging Face id, a diffusers folder, a single-file checkpoint, or `embedded`."""
    mode: OperationMode = OperationMode.AUTO
    constraints: GenerationConstraints = field(default_factory=GenerationConstraints)
    lora_preferences: LoRAPreferences = field(default_factory=lambda: usual_preferences())
    """Given none, those with the user's own confidence (`config.json`)."""
    memory_settings: MemorySettings = field(default_factory=MemorySettings)
    ollama_config: OllamaConfig | None = None
    judge_loras: bool = False
    """Ask the model of `ollama_config` about the first LoRAs of each choice: yes or no, with a reason."""
    allow_downloads: bool = False
    """Fetch a base model that is not on this machine from the Hugging Face hub."""
    quality_tags: bool = True
    """Add the family's quality tags to the prompt where they are missing."""
    model_family: str | None = None
    """The kind of model that `base_model` is, a `models.Family` (`pony` …); None: read from the model."""
    repair: bool = True
    """Find images that decode to not-a-number or to one colour, and decode those that overflow again in float32."""
    seam_check: bool = True
    """Search images that were decoded in tiles for the tiles' edges and colours."""

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """Read a configuration from a .toml or .json file; what the file does not name has its default.

        The file may declare a whole run (`generation.RunFile`), whose `run` is left out here.

        Raises:
            InvalidInputError: names the file, the place in it, what must stand there, and what does.
        """
        path = Path(path)
        content = read_settings(path)
        if "run" not in (each.name for each in fields(cls)):
            content.pop("run", None)
        try:
            return validated(cls, content)
        except InvalidInputError as error:
            raise InvalidInputError(f"{path}: {error}") from None

    def to_file(self, path: str | Path) -> None:
        """Write this as a .toml or .json file that `from_file` reads, defaults included.

        Raises InvalidInputError (another ending), MissingDependencyError (TOML needs tomli-w), StorageError.
        """
        write_settings(Path(path), adapter(type(self)).dump_python(self, mode="json"))


@dataclass
class BatchConfig(Settings):
    """A batch of images and what varies in it."""

    num_images: Annotated[int, bounds(ge=1)] = 4
    variation_strategy: VariationStrategy = VariationStrategy.SEED_VARIATION
    parallel_generation: bool = False
    """Sample several images in one forward batch where memory allows."""
    base_seed: Annotated[int, bounds(ge=0, le=MAX_SEED)] | None = None
    """Seed of the first image (0 is a seed); the next images count up from it. None: random."""


@dataclass
class HistorySettings(Settings):
    """The pictures that the user already has. Never taken from a workflow."""

    read: bool | None = None
    """Read them, or never; None: as the user says on the page or with `history on`, and not before."""
    folders: tuple[str, ...] = ()
    """Folders of pictures beside ComfyUI's output folder."""


class Hub(StrEnum):
    """A site that models come from."""

    CIVITAI = "civitai"
    HUGGING_FACE = "huggingface"


@dataclass
class ServerSettings(Settings):
    """`config.json` of the data folder: the user's settings. Never taken from a workflow."""

    ollama: OllamaConfig = field(default_factory=OllamaConfig)
    """The server that the analyzer `ollama` asks."""
    allowed_hosts: tuple[str, ...] = ()
    """Host names under which the pack's routes answer, beside this machine's own."""
    hash_megabytes_per_second: Annotated[float, bounds(ge=0)] = 30.0
    """Reading speed for hashes, light work even for a hard disk; 0: files are not hashed in the background."""
    history: HistorySettings = field(default_factory=HistorySettings)
    min_confidence: Annotated[float, bounds(ge=0, le=1)] = LoRAPreferences.min_confidence
    """Confidence where none is given: of new nodes, in the terminal, of a new `PipelineConfig`."""
    hubs: tuple[Hub, ...] = tuple(Hub)
    """Hubs that may be asked, once somebody asks for it."""
    comfyui_servers: tuple[Annotated[str, bounds(pattern=SERVER_ADDRESS)], ...] = ()
    """ComfyUI servers that batches may use, such as `http://127.0.0.1:8188`."""
    ray_address: str = ""
    """Ray cluster that batches may use, such as `10.0.0.2:6379`; empty: Ray is started on this machine alone."""


def user_settings(folder: Path | None = None) -> ServerSettings:
    """Return what `config.json` of a data folder (None: the usual one) says, or the defaults.

    Raises InvalidInputError, which names the mistake in the file.
    """
    return read_user_file((folder or data_folder()) / CONFIG_FILE, ServerSettings) or ServerSettings()


def usual_preferences() -> LoRAPreferences:
    """Return the preferences of a user who gives none. Raises InvalidInputError."""
    return LoRAPreferences(min_confidence=user_settings().min_confidence)


_named_folder: list[Path] = []
"""The folder that a host named last."""


def name_data_folder(folder: Path) -> None:
    """Have `data_folder` return `folder` unless the environment names one, for a host that keeps its data elsewhere."""
    _named_folder[:] = [folder]


def data_folder() -> Path:
    """Return the folder of the databases, the user's files and the embedded model. Creates nothing."""
    if home := os.environ.get(HOME_VARIABLE):
        return expanded(home)
    if _named_folder:
        return _named_folder[0]
    from platformdirs import user_data_path

    return user_data_path("intelligent-generation", appauthor=False)
