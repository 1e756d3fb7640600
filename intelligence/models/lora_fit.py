"""The share of a LoRA that a loaded model takes, measured by names and shapes instead of named architectures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import NamedTuple

from ..errors import UnsupportedModelError
from .headers import Shapes, read_header, read_shapes
from .lora_modules import BIAS, Change, Kind, Modules, Shape, lora_modules, modules_digest
from .metadata import ModelMetadata, ModelSummary

MIN_SHARE = 0.5
"""Share of its modules that a LoRA must load to be applied without being named."""
MAX_CLASHING = 0.1
"""Share of a LoRA's modules that may bear a name of this model and yet another shape. LoRAs for the model itself have
at most an input layer of that sort (inpainting, control); a LoRA for SD 2 has a sixth of its modules on SD 1."""
FULL_SHARE = 0.98
"""Share from which all of a LoRA counts as loaded: formats leave a tensor or two behind."""

MAX_KEPT = 256
"""Sets of modules that are kept: far fewer than LoRAs, for trainers write the same ones again and again."""

_TEXT_PREFIXES = ("lora_te", "text_encoder", "lora_prior_te", "te_", "te1_", "te2_", "t5xxl", "clip_l", "clip_g")


class Target(NamedTuple):
    """A weight of a loaded model, to which a LoRA's name for it leads."""

    key: str
    """The host's own name of the weight."""
    shape: Shape
    bias: Shape | None = None
    """Shape of the module's bias; None: it has none."""
    text: bool = False
    """True in a text encoder."""


class PartShare(NamedTuple):
    """Numbers of modules of a LoRA for one part of a model."""

    loaded: int = 0
    clashing: int = 0
    """Modules whose name the model has, with another shape."""
    total: int = 0


@dataclass(frozen=True)
class FitShare:
    """Numbers of modules of a LoRA that a loaded model takes, by part."""

    unet: PartShare
    """The diffusion network, whatever its kind."""
    text: PartShare
    """The text encoders; counted as not loaded where none are connected."""
    has_text: bool = True
    """True where text encoders were measured."""

    @property
    def loaded(self) -> int:
        return self.unet.loaded + self.text.loaded

    @property
    def total(self) -> int:
        """Modules that could be loaded: those for text encoders only where there are any, or where there are no others.

        At least 1 for any LoRA.
        """
        return self.unet.total + (self.text.total if self.has_text or not self.unet.total else 0)

    @property
    def named(self) -> int:
        """Modules whose name the model has, of the same shape or another."""
        return self.loaded + self.unet.clashing + self.text.clashing

    @property
    def does_nothing(self) -> bool:
        return self.loaded == 0

    @property
    def share(self) -> float:
        """Loaded share of the modules of the diffusion network, or of the text encoders for a LoRA of them alone."""
        part = self._telling
        return part.loaded / part.total if part.total else 0.0

    @property
    def fits(self) -> bool:
        """True where enough is loaded and next to nothing has another shape: it can be made for this model."""
        part = self._telling
        return self.share >= MIN_SHARE and part.clashing <= MAX_CLASHING * part.total

    @property
    def full(self) -> bool:
        """True where next to all modules are loaded and the diffusion network's are among them."""
        return self.fits and self.unet.total > 0 and self.share >= FULL_SHARE

    @property
    def _telling(self) -> PartShare:
        return self.unet if self.unet.total else self.text


def measure(modules: Modules, targets: Mapping[str, Target], *, has_text: bool = True) -> FitShare:
    """Return how much of a LoRA a model takes.

    Args:
        modules: of the LoRA.
        targets: name in a LoRA → the model's weight.
        has_text: whether `targets` holds text encoders.
    """
    counts = {False: [0, 0, 0], True: [0, 0, 0]}
    for name, change in modules.items():
        target = targets.get(name.removesuffix(BIAS) if change.kind is Kind.BIAS else name)
        if target is None:
            counts[name.startswith(_TEXT_PREFIXES)][2] += 1
        else:
            count = counts[target.text]
            count[0 if _takes(target, change) else 1] += 1
            count[2] += 1
    return FitShare(PartShare(*counts[False]), PartShare(*counts[True]), has_text)


def _takes(target: Target, change: Change) -> bool:
    kind, shape = change
    weight = target.shape
    if kind is Kind.PRODUCT:
        return weight == shape or (weight[:1] == shape[:1] and prod(weight) == shape[0] * shape[1])
    if kind is Kind.BIAS:
        return target.bias == shape
    if kind is Kind.WHOLE:
        return weight == shape
    if kind is Kind.ROWS:
        return weight[:1] == shape
    return kind is Kind.PADDED and len(weight) == 2 and weight[0] <= shape[0] and weight[1] <= shape[1]


class ModuleReader:
    """Reads the modules of LoRA files, and keeps those of the sets that were used last.

    `convert`: the host's own renaming of a LoRA's tensors, by names and shapes.
    """

    def __init__(self, convert: Callable[[Shapes], Shapes] = lambda shapes: shapes) -> None:
        self._convert = convert
        self._known: dict[str, Modules] = {}

    def read(self, path: Path, digest: str = "") -> Modules:
        """Return the modules of a file.

        Args:
            digest: `modules_digest` of the file as it was registered; empty: not known.

        Raises UnsupportedModelError.
        """
        if (known := self._known.pop(digest, None)) is None:
            shapes, known = _read(path, digest)
            converted = self._convert(shapes)
            known = known if converted == shapes else lora_modules(converted)
        if digest:
            self._known[digest] = known
            for oldest in list(self._known)[:-MAX_KEPT]:
                del self._known[oldest]
        return known


def _read(path: Path, digest: str) -> tuple[Shapes, Modules]:
    """Return a file's shapes and modules; it is checked as at its first reading unless it is the registered one."""
    if digest:
        with suppress(UnsupportedModelError):
            shapes = read_shapes(path)
            modules = lora_modules(shapes)
            if modules_digest(modules) == digest:
                return shapes, modules
    shapes = read_header(path).shapes
    return shapes, lora_modules(shapes)


class LoRAFit:
    """Measures LoRA files against one model; each set of modules once.

    Args:
        targets: name in a LoRA → the model's weight.
        mark: a text that models of the same configuration share.
        has_text: whether `targets` holds text encoders.
        reader: shared by the models of a host.
    """

    def __init__(
        self,
        targets: Mapping[str, Target],
        mark: str,
        *,
        has_text: bool = True,
        reader: ModuleReader | None = None,
    ) -> None:
        self.mark = mark
        self._targets = targets
        self._has_text = has_text
        self._reader = reader or ModuleReader()
        self._known: dict[str, FitShare] = {}

    def __call__(self, lora: ModelSummary | ModelMetadata) -> FitShare | None:
        """Return how much of this LoRA the model takes; None where its file cannot be read."""
        path = Path(lora.local_path)
        try:
            known_as = lora.modules or f"{path}\0{path.stat().st_mtime_ns}"
            if known_as not in self._known:
                modules = self._reader.read(path, lora.modules)
                self._known[known_as] = measure(modules, self._targets, has_text=self._has_text)
        except (OSError, UnsupportedModelError):
            return None
        return self._known[known_as]

    def further(self, lora: ModelSummary | ModelMetadata, names: frozenset[str]) -> int | None:
        """Return how many modules of this LoRA the model knows beside those of `names`; None where it lacks one."""
        share = self(lora)
        if share is None or share.named < len(names):
            return None
        try:
            modules = self._reader.read(Path(lora.local_path), lora.modules)
        except UnsupportedModelError:
            return None
        return share.named - len(names) if names <= modules.keys() else None
