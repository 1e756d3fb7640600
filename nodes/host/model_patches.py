"""Patches on a MODEL, whatever put them there: changes to its sampling, and the LoRAs, named by the library's files."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from safetensors import SafetensorError, safe_open

from ...intelligence.models import ModelKind, ModelSummary
from ...intelligence.models.evidence import AppliedLoRA, ModelPatch
from ...intelligence.models.lora_modules import BIAS, module_name
from .model_targets import lora_fit, targets
from .server_planner import planner

GUESSED = 0.5
"""Certainty of a name that the graph alone tells."""
ALIKE = 0.8
"""Certainty of a name where only one file of the library has these modules, and its values could not be compared."""
MAX_COMPARED = 200
"""Files whose values are compared for one LoRA."""
COMPARED_TENSORS = 4
"""Tensors of a file that are compared, of which the first 16 values are read."""

_SLOTS = (
    "sampler_cfg_function",
    "sampler_pre_cfg_function",
    "sampler_post_cfg_function",
    "sampler_calc_cond_batch_function",
    "model_function_wrapper",
    "denoise_mask_function",
)
"""Entries of `model_options` with a function or a list of functions."""


@dataclass
class _Group:
    """Patches of one LoRA."""

    strength: float
    names: frozenset[str]
    """Names of the tensors that were loaded, in the file's words."""
    adapters: dict[str, Any] = field(default_factory=dict)
    """Key of a weight of the diffusion network → the patch."""


_IDENTIFIED: WeakKeyDictionary[Any, tuple[Any, tuple[AppliedLoRA, ...]]] = WeakKeyDictionary()
"""Patch of a LoRA → the library's revision, and the LoRAs found in it: several where files are copies."""


def sampling_patches(model: Any) -> tuple[ModelPatch, ...]:
    """Return the changes to how a MODEL samples, ordered by slot."""
    found = {ModelPatch(slot, _maker(value)) for slot, value in _patched(model)}
    return tuple(sorted(found, key=lambda patch: (patch.slot, patch.name)))


def _patched(model: Any) -> Iterator[tuple[str, Any]]:
    """Slots that are patched, with a function or object there."""
    yield from model.object_patches.items()
    options = model.model_options
    for slot in _SLOTS:
        value = options.get(slot)
        for each in value if isinstance(value, list) else [value]:
            if each is not None:
                yield slot, each
    transformer = options.get("transformer_options", {})
    for slot, functions in transformer.get("patches", {}).items():
        yield from ((slot, function) for function in functions)
    for slot, replaced in transformer.get("patches_replace", {}).items():
        yield from ((slot, function) for function in replaced.values())
    if (attention := transformer.get("optimized_attention_override")) is not None:
        yield "attention", attention
    for wrappers in (getattr(model, "wrappers", {}), transformer.get("wrappers", {})):
        for slot, by_key in wrappers.items():
            yield from ((slot, function) for functions in by_key.values() for function in functions)


def _maker(value: Any) -> str:
    """The class of the node in which a function was written, else the class of an object."""
    while isinstance(value, partial):
        value = value.func
    if inspect.ismethod(value) and not isinstance(value.__self__, type):
        value = value.__self__
    elif callable(value) and hasattr(value, "__qualname__"):
        return str(value.__qualname__).split(".", 1)[0]
    kind = type(value)
    # ComfyUI's nodes put a schedule and a kind of prediction together in a class of their own.
    return "+".join(base.__name__ for base in kind.__bases__) if "<locals>" in kind.__qualname__ else kind.__name__


def applied_loras(model: Any, hints: Sequence[str] = ()) -> tuple[AppliedLoRA, ...]:
    """Return the LoRAs on a MODEL, in the order in which they were applied.

    A LoRA is named by the file of the library that has its modules and its values, of copies the one that the graph
    names; where no file has them, by the graph.

    Args:
        hints: file names of LoRAs that the graph shows, nearest first.
    """
    groups = list(_groups(model))
    found = [_identified(model, group, tuple(hints)) for group in groups]
    unnamed = [number for number, lora in enumerate(found) if not lora.name]
    left = [name for name in reversed(hints) if name not in {lora.name for lora in found}]
    if len(left) == len(unnamed):
        for number, name in zip(unnamed, left, strict=True):
            found[number] = AppliedLoRA(
                name, strength=found[number].strength, modules=found[number].modules, confidence=GUESSED
            )
    return tuple(found)


def _groups(model: Any) -> Iterator[_Group]:
    """Patches of the diffusion network, grouped by LoRA: ComfyUI gives those of one file the same set of its names."""
    groups: dict[int, _Group] = {}
    for key, strength, adapter in _adapters(model):
        names = getattr(adapter, "loaded_keys", None)
        if names:
            group = groups.setdefault(id(names), _Group(strength, frozenset(names)))
            group.adapters[key] = adapter
    yield from groups.values()


def _adapters(model: Any) -> Iterator[tuple[str, float, Any]]:
    for key, patches in model.patches.items():
        for strength, patch, _, offset, _ in patches:
            yield key if offset is None else f"{key}{offset}", strength, patch
    for injection in getattr(model, "injections", {}).get("bypass_lora", ()):
        manager = inspect.getclosurevars(injection.inject).nonlocals.get("self")
        for key, (adapter, strength) in getattr(manager, "adapters", {}).items():
            yield key, strength, adapter


def _identified(model: Any, group: _Group, hints: tuple[str, ...]) -> AppliedLoRA:
    registry = planner().registry
    first = next(iter(group.adapters.values()))
    revision, known = _IDENTIFIED.get(first, (None, ()))
    if not known or revision != registry.revision:
        nameless = AppliedLoRA(strength=group.strength, modules=len(group.adapters))
        known = tuple(_in_library(model, group, nameless, hints)) or (nameless,)
        _IDENTIFIED[first] = registry.revision, known
    return next((lora for lora in known if lora.name in hints), known[0])


def _in_library(model: Any, group: _Group, nameless: AppliedLoRA, hints: tuple[str, ...]) -> list[AppliedLoRA]:
    """The LoRA under the names of the files that it may come from; of some files only a part is on the model."""
    unet = targets(model.model).by_name
    tensors_of = {key: name for key in group.names if (name := module_name(key)) and name.removesuffix(BIAS) in unet}
    candidates = _candidates(model, frozenset(tensors_of.values()), hints)
    tensors = [tensor for adapter in group.adapters.values() for tensor in _tensors(adapter)] if candidates else []
    values = {*map(_values, tensors)}
    compared = [(lora, _has_values(lora, {*tensors_of}, values)) for lora, _ in candidates[:MAX_COMPARED]]
    if same := [lora for lora, equal in compared if equal]:
        return [_named(nameless, lora, 1.0) for lora in same]
    whole = [(lora, equal) for (lora, further), (_, equal) in zip(candidates, compared, strict=False) if not further]
    return [_named(nameless, whole[0][0], ALIKE)] if len(whole) == 1 and whole[0][1] is None else []


def _candidates(model: Any, names: frozenset[str], hints: tuple[str, ...]) -> list[tuple[ModelSummary, int]]:
    """LoRAs of the library with these modules and the number of their further ones, the likeliest first."""
    fit, known, found = lora_fit(model), dict[str, int | None](), []
    for lora in planner().registry.summaries(ModelKind.LORA):
        digest = lora.modules or lora.model_id
        if digest not in known:
            known[digest] = fit.further(lora, names)
        if (further := known[digest]) is not None:
            found.append((lora, further))
    return sorted(found, key=lambda each: (_file_name(each[0]) not in hints, each[1]))


def _has_values(lora: ModelSummary, names: set[str], values: set[_Values]) -> bool | None:
    """True where the values of some tensors of a file are on the MODEL; None where that cannot be told."""
    try:
        with safe_open(lora.local_path, framework="pt") as file:
            keys = sorted(names.intersection(file.keys()))
            slices = [file.get_slice(key) for key in keys[:: max(1, len(keys) // COMPARED_TENSORS)]]
            found = [
                _Values(tuple(part.get_shape()), _numbers(part[:1])) for part in slices if len(part.get_shape()) > 1
            ]
    except (OSError, SafetensorError):
        return None
    return found[0] in values and all(each in values for each in found) if found else None


class _Values(NamedTuple):
    """Shape and first values of a tensor: enough to tell it from others."""

    shape: tuple[int, ...]
    first: tuple[float, ...]


def _values(tensor: torch.Tensor) -> _Values:
    return _Values(tuple(tensor.shape), _numbers(tensor[:1]) if tensor.ndim > 1 else ())


def _numbers(tensor: torch.Tensor) -> tuple[float, ...]:
    return tuple(tensor.flatten()[:16].float().tolist())


def _named(lora: AppliedLoRA, file: ModelSummary, confidence: float) -> AppliedLoRA:
    name, kind, family = _file_name(file), file.lora_kind, file.family
    return AppliedLoRA(name, file.model_id, lora.strength, lora.modules, kind, family, confidence=confidence)


def _file_name(lora: ModelSummary) -> str:
    return lora.model_id.partition(":")[2].rpartition("/")[2]


def _tensors(adapter: Any) -> Iterator[torch.Tensor]:
    return (tensor for tensor in adapter.weights if isinstance(tensor, torch.Tensor))
