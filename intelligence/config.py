"""What the user sets: modes, limits and preferences, validated where they are made."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Self, TypeVar

from .errors import InvalidInputError
from .records import Record

EMBEDDED_MODEL = "embedded"
"""The small random-weight SDXL that is made on first use."""

DEFAULT_BASE_MODEL = "stabilityai/sdxl-base-1.0"

BASE_MODEL_ALIASES = {DEFAULT_BASE_MODEL: "stabilityai/stable-diffusion-xl-base-1.0"}

MAX_LORA_STRENGTH = 10.0
"""Bound of a LoRA strength that is let through, either sign; useful values lie within ±2."""

MAX_SEED = 2**64 - 1

ASPECTS = {"square": 1.0, "portrait": 832 / 1216, "landscape": 1216 / 832, "tall": 768 / 1344, "wide": 1344 / 768}
"""Names of shapes that can be asked for, with their width / height; `W:H` is understood too."""

HOME_VARIABLE = "INTELLIGENT_GENERATION_HOME"


E = TypeVar("E", bound=StrEnum)


class _Named(StrEnum):
    """Enum whose values are its names and which also takes them in lower case."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        return cls.__members__.get(value.upper()) if isinstance(value, str) else None


class OperationMode(_Named):
    """Who decides: the pack (AUTO), the user on the pack's suggestions (ASSISTED), the user alone (MANUAL)."""

    AUTO = "AUTO"
    ASSISTED = "ASSISTED"
    MANUAL = "MANUAL"


class OnUnconfirmed(StrEnum):
    """What ASSISTED mode does in a graph while no selection is confirmed."""

    ERROR = "error"
    USE_SUGGESTIONS = "use_suggestions"
    SUGGEST_ONLY = "suggest_only"
    """Show the suggestions and load no model; the page's *Suggest* button queues this."""


class Priority(_Named):
    """What to favour where speed and quality differ."""

    SPEED = "SPEED"
    BALANCED = "BALANCED"
    QUALITY = "QUALITY"


class OffloadStrategy(_Named):
    """Where the weights live while sampling.

    FULL_GPU: all on the device. CPU_OFFLOAD: one whole model at a time on the device. SEQUENTIAL: one leaf
    module at a time (slow, smallest). AUTO: the fastest of these that fits.
    """

    AUTO = "AUTO"
    SEQUENTIAL = "SEQUENTIAL"
    CPU_OFFLOAD = "CPU_OFFLOAD"
    FULL_GPU = "FULL_GPU"


class VariationStrategy(_Named):
    """What differs between the images of a batch."""

    SEED_VARIATION = "SEED_VARIATION"
    PARAM_VARIATION = "PARAM_VARIATION"
    LORA_VARIATION = "LORA_VARIATION"


def require(condition: bool, message: str) -> None:
    """Raise InvalidInputError(message) unless `condition` holds."""
    if not condition:
        raise InvalidInputError(message)


def is_number(value: object) -> bool:
    """Whether `value` is a finite int or float (booleans are not numbers here)."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def check_seed(seed: int) -> int:
    """`seed` if it is an integer of 0 … 2**64 − 1. Raises InvalidInputError."""
    require(
        isinstance(seed, int) and not isinstance(seed, bool) and 0 <= seed <= MAX_SEED,
        f"seed must be an integer from 0 to {MAX_SEED}, got {seed!r}",
    )
    return seed


def _positive_or_none(name: str, value: float | None) -> None:
    require(
        value is None or (is_number(value) and value > 0), f"{name} must be a number above 0 or None, got {value!r}"
    )


@dataclass
class GenerationConstraints(Record):
    """Budgets of one generation. None: no limit."""

    max_time_seconds: float | None = None
    max_vram_gb: float | None = None
    """GiB."""
    priority: Priority = Priority.BALANCED

    def __post_init__(self) -> None:
        _positive_or_none("max_time_seconds", self.max_time_seconds)
        _positive_or_none("max_vram_gb", self.max_vram_gb)
        self.priority = _member(Priority, "priority", self.priority)


@dataclass
class LoRAPreferences(Record):
    """How many LoRAs, and how sure the pack must be before it applies one by itself."""

    max_loras: int = 3
    min_confidence: float = 0.7
    """More than nine of ten LoRAs applied from here on are right; measured in intelligence/lora/search/README.md."""
    allow_style_mixing: bool = False
    dense_text: bool = True
    """Whether likeness of meaning (MiniLM, the extra `dense`) is used where it is installed."""

    def __post_init__(self) -> None:
        require(
            isinstance(self.max_loras, int) and not isinstance(self.max_loras, bool) and self.max_loras >= 0,
            f"max_loras must be an integer of 0 or more, got {self.max_loras!r}",
        )
        require(
            is_number(self.min_confidence) and 0 <= self.min_confidence <= 1,
            f"min_confidence must be a number from 0 to 1, got {self.min_confidence!r}",
        )
        require(isinstance(self.dense_text, bool), f"dense_text must be True or False, got {self.dense_text!r}")


@dataclass
class MemorySettings(Record):
    """How to fit the model on the device."""

    offload_strategy: OffloadStrategy = OffloadStrategy.AUTO
    max_vram_gb: float | None = None
    """GiB; None: what is free."""
    exact_weights: bool = False
    """Never round weights to make them fit, even where that would be faster: a seed's picture then does not hang on how
    much memory is free."""

    def __post_init__(self) -> None:
        _positive_or_none("max_vram_gb", self.max_vram_gb)
        require(isinstance(self.exact_weights, bool), f"exact_weights must be a bool, got {self.exact_weights!r}")
        self.offload_strategy = _member(OffloadStrategy, "offload_strategy", self.offload_strategy)


@dataclass
class OllamaConfig(Record):
    """A local Ollama server that may help to read the prompt. Comes from configuration, never from a workflow."""

    base_url: str = "http://127.0.0.1:11434"
    model: str = "qwen3.5:4b"
    timeout_seconds: float = 20.0

    def __post_init__(self) -> None:
        require(
            isinstance(self.base_url, str) and self.base_url.startswith(("http://", "https://")),
            f"base_url must be an http(s) address, got {self.base_url!r}",
        )
        require(isinstance(self.model, str) and bool(self.model.strip()), "model must name an Ollama model")
        _positive_or_none("timeout_seconds", self.timeout_seconds)


@dataclass
class PipelineConfig(Record):
    """Configuration of `IntelligentGenerationPipeline`."""

    base_model: str = DEFAULT_BASE_MODEL
    """A Hugging Face id, a diffusers folder, a single-file checkpoint, or `embedded`."""
    mode: OperationMode = OperationMode.AUTO
    constraints: GenerationConstraints = field(default_factory=GenerationConstraints)
    lora_preferences: LoRAPreferences = field(default_factory=LoRAPreferences)
    memory_settings: MemorySettings = field(default_factory=MemorySettings)
    ollama_config: OllamaConfig | None = None
    allow_downloads: bool = False
    """Whether a base model that is not on this machine may be fetched from the Hugging Face hub."""
    quality_tags: bool = True
    """Whether the family's quality tags are added to the prompt where they are missing."""
    model_family: str | None = None
    """What kind of model `base_model` is (`pony`, `noobai_vpred` …: a `registry.Family`); None: told from the model."""

    def __post_init__(self) -> None:
        require(
            isinstance(self.base_model, str) and bool(self.base_model.strip()),
            "base_model must name a model: a Hugging Face id, a path, or 'embedded'",
        )
        self.mode = _member(OperationMode, "mode", self.mode)


@dataclass
class BatchConfig(Record):
    """A batch of images and what varies in it."""

    num_images: int = 4
    variation_strategy: VariationStrategy = VariationStrategy.SEED_VARIATION
    parallel_generation: bool = False
    """Sample several images in one forward batch where memory allows."""
    base_seed: int | None = None
    """Seed of the first image (0 is a seed); the next images count up from it. None: random."""

    def __post_init__(self) -> None:
        require(
            isinstance(self.num_images, int) and not isinstance(self.num_images, bool) and self.num_images >= 1,
            f"num_images must be an integer of 1 or more, got {self.num_images!r}",
        )
        if self.base_seed is not None:
            check_seed(self.base_seed)
        self.variation_strategy = _member(VariationStrategy, "variation_strategy", self.variation_strategy)


def _member(kind: type[E], name: str, value: str) -> E:
    try:
        return kind(value)
    except ValueError:
        raise InvalidInputError(f"{name} must be one of {', '.join(kind)}, got {value!r}") from None


def data_folder() -> Path:
    """Where the databases and the embedded model live when no host says otherwise (not created here)."""
    if home := os.environ.get(HOME_VARIABLE):
        return Path(home).expanduser()
    from platformdirs import user_data_path

    return user_data_path("intelligent-generation", appauthor=False)
