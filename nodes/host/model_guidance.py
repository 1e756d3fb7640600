"""Guidance that other nodes put on a MODEL: what of a plan it rules out, and the passes that it adds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from inspect import getclosurevars
from types import CodeType
from typing import Any, NamedTuple

from ...intelligence.parameters import ModelGuidance

OWN_FUNCTIONS = ("sampler_cfg_function", "sampler_pre_cfg_function", "sampler_calc_cond_batch_function")
"""Model options with functions that combine the predictions for prompt and negative prompt."""

MODEL_CALLS = frozenset({"calc_cond_batch", "sampling_function", "apply_model"})
"""Functions of ComfyUI that call the model."""


class Conditionings(NamedTuple):
    """Number of conditionings that a call of the model has at a noise level."""

    positive: int
    negative: int


class ExtraPasses(NamedTuple):
    """Forward items a call of the model that a function adds for one image."""

    fewest: int
    most: int


def _perturbed_attention(known: dict[str, Any], conds: Conditionings, sigma: float) -> int:
    return conds.positive if known.get("scale") else 0


def _skipped_layers(known: dict[str, Any], conds: Conditionings, sigma: float) -> int:
    active = known["scale"] > 0 and known["sigma_end"] <= sigma <= known["sigma_start"]
    return conds.positive if active else 0


_CORE: dict[str, Callable[[dict[str, Any], Conditionings, float], int]] = {
    "PerturbedAttentionGuidance": _perturbed_attention,
    "SkipLayerGuidanceDiT": _skipped_layers,
    "SelfAttentionGuidance": lambda known, conds, sigma: conds.negative,
    "PerpNeg": lambda known, conds, sigma: len(known["nocond"]),
}
"""Core node whose function calls the model again → forward items, by the function's own variables."""


def model_guidance(model: Any) -> ModelGuidance:
    """Return what other nodes' guidance on MODEL means for a plan with one prompt and one negative prompt."""
    options = model.model_options
    after = options.get("sampler_post_cfg_function", [])
    extra = extra_passes(model, Conditionings(1, 1), float("nan"))
    return ModelGuidance(
        own_function=bool(options.get("sampler_cfg_function")),
        needs_negative=bool(options.get("disable_cfg1_optimization")),
        changes_guidance=any(options.get(name) for name in OWN_FUNCTIONS) or any(map(_reads_negative, after)),
        fewest_extra=extra.fewest,
        most_extra=extra.most,
        below_one=True,
    )


def extra_passes(model: Any, conds: Conditionings, sigma: float) -> ExtraPasses:
    """Return the forward items that functions on MODEL add to a call at `sigma`; not-a-number: at any noise level."""
    options = model.model_options
    functions = [options.get("sampler_cfg_function"), *options.get("sampler_post_cfg_function", [])]
    found = [_extra(function, conds, sigma) for function in functions if function is not None]
    return ExtraPasses(sum(each.fewest for each in found), sum(each.most for each in found))


def replays(model: Any) -> bool:
    """Return whether recorded predictions can stand for MODEL's: not where functions that combine predictions may read
    what attention patches kept of a call (self-attention guidance)."""
    options = model.model_options
    patches = options.get("transformer_options", {})
    patched = any(patches.get(name) for name in ("patches", "patches_replace"))
    return not patched or not any(options.get(name) for name in (*OWN_FUNCTIONS, "sampler_post_cfg_function"))


def _extra(function: Any, conds: Conditionings, sigma: float) -> ExtraPasses:
    count = _CORE.get(getattr(function, "__qualname__", "").split(".")[0])
    if count is not None:
        known = dict(getclosurevars(function).nonlocals)
        if sigma != sigma and "sigma_end" in known:
            return ExtraPasses(0, conds.positive)
        return ExtraPasses(*[count(known, conds, sigma)] * 2)
    calls = sum(name in MODEL_CALLS for code in _codes(function) for name in code.co_names)
    return ExtraPasses(0, calls * max(conds))


def _reads_negative(function: Any) -> bool:
    return any("uncond_denoised" in code.co_consts for code in _codes(function))


def _codes(function: Any) -> Iterator[CodeType]:
    """The code of a function and of those that are written in it; of an object, of its `__call__`."""
    called = getattr(function, "__func__", function)
    if not hasattr(called, "__code__") and callable(called):
        called = type(called).__call__
    pending = [called.__code__] if hasattr(called, "__code__") else []
    while pending:
        code = pending.pop()
        yield code
        pending += [each for each in code.co_consts if isinstance(each, CodeType)]
