"""A memory plan on a diffusers pipeline: where weights lie, how they are stored, how the VAE decodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

from ..config import MemorySettings, OffloadStrategy, require
from ..records import Reason
from ..units import BYTES_PER_GIB
from .manager import MemoryManager
from .memory_request import DIFFUSERS, MemoryRequest
from .plan import MemoryPlan
from .prediction import Placement
from .quantization import store, stored_as, stored_bytes
from .resources import OWN_MEMORY, detect_resources

_STAGES = (("text_encoder", "text"), ("vae", "vae"))
"""Component name prefix → stage; everything else samples."""

_GROUP_HOOKS = ("group_offloading", "layer_execution_tracker", "lazy_prefetch_group_offloading")
"""Names under which diffusers registers what `apply_group_offloading` adds."""


@dataclass(frozen=True)
class OffloadConfig:
    """Places of a pipeline's weights after distribution."""

    strategy: OffloadStrategy
    device: dict[str, str] = field(default_factory=dict)
    """Component → the device its weights rest on between calls (`cpu` for offloaded ones)."""
    execution_device: str = "cpu"
    reasons: tuple[Reason, ...] = ()
    weight_dtype: str = "float16"
    """Format of the sampling model's weights: as loaded (`float16`), `float8`, `int8` or `nf4`."""


class ModelOffloader:
    """Places a diffusers pipeline's models by strategy; AUTO: the fastest that fits its true weights.

    A strategy that does not keep within `max_vram_gb` gives way to the fastest that does, or to the one that needs
    least where none does.
    """

    def __init__(
        self, strategy: OffloadStrategy | str = OffloadStrategy.AUTO, max_vram_gb: float | None = None
    ) -> None:
        """`max_vram_gb`: GiB; None: all that is free. Raises InvalidInputError."""
        self.settings = MemorySettings(cast(OffloadStrategy, strategy), max_vram_gb)

    def distribute_pipeline(self, pipe: Any, plan: MemoryPlan | None = None) -> OffloadConfig:
        """Set `pipe` (a diffusers pipeline) up as `plan` says, undoing an earlier distribution.

        Without a plan one is made for one image of the pipeline's native size with CFG, which keeps the weights'
        precision; on a device without memory of its own every strategy then becomes FULL_GPU.

        FULL_GPU moves all models to the device; CPU_OFFLOAD moves one model at a time there and back; SEQUENTIAL
        fetches each module's weights while the one before computes (CUDA, XPU), or when it is called.

        Raises:
            InvalidInputError: the weights were rounded before, in another way than the plan wants: load the model anew;
                or they are to be streamed in a format that cannot be.
            MissingDependencyError: the library for such weights is not installed.
        """
        modules = _modules(pipe)
        plan = plan or self._plan(pipe, modules)
        require(Placement(plan.strategy, plan.weight_dtype).possible, f"{plan.weight_dtype} weights cannot be streamed")
        require(carries(pipe, plan), "the weights were rounded by an earlier distribution: load the model anew")
        sampler = _sampler(modules)
        release_pipeline(pipe)
        if stored_as(sampler) != plan.weight_dtype:
            store(sampler, plan.weight_dtype, plan.device)
        if "vae" in modules and hasattr(modules["vae"], "enable_tiling"):
            set_tiling(modules["vae"], plan.tile_size)
            set_vae_dtype(modules["vae"], plan.vae_dtype)
        if hasattr(sampler, "set_attention_slice"):
            sampler.set_attention_slice("max" if plan.attention_slicing else None)
        _PLACE[plan.strategy](pipe, modules, plan.device)
        if plan.cfg_split:
            sampler.forward = _Halves(sampler.forward)
        rest = plan.device if plan.strategy is OffloadStrategy.FULL_GPU else "cpu"
        return OffloadConfig(
            plan.strategy, dict.fromkeys(modules, rest), plan.device, plan.reasons, weight_dtype=plan.weight_dtype
        )

    def _plan(self, pipe: Any, modules: dict[str, Any]) -> MemoryPlan:
        side = _native_side(pipe)
        request = MemoryRequest(
            side,
            side,
            settings=self.settings,
            weights_gb=_stage_weights(modules),
            configs={name: dict(getattr(modules.get(name), "config", {})) for name in ("unet", "vae")},
            host=replace(DIFFUSERS, weight_dtypes=("float16",), cfg_split=False),
        )
        plan = MemoryManager().plan(request)
        if plan.fits or self.settings.max_vram_gb is None:
            return plan
        return MemoryManager().plan(request, settings=replace(self.settings, offload_strategy=OffloadStrategy.AUTO))


def set_tiling(vae: Any, tile: int) -> None:
    """Make a diffusers AutoencoderKL decode in tiles of `tile` pixels a side; 0: whole.

    diffusers' own default tile is the sample size, 1024 for SDXL, which would save nothing at 1024².
    """
    if tile <= 0:
        vae.disable_tiling()
        return
    vae.enable_tiling()
    vae.tile_sample_min_size = tile
    vae.tile_latent_min_size = max(1, tile // 2 ** (len(vae.config.block_out_channels) - 1))


def set_vae_dtype(vae: Any, dtype: str) -> None:
    """Make a diffusers AutoencoderKL decode in `dtype`; empty: as its pipeline does.

    A VAE in float16 keeps its weights where `dtype` is float32: SDXL's pipeline casts them for the decode, and back.
    """
    import torch

    if not dtype:
        return
    first = vae.post_quant_conv  # latents come in the precision of the UNet
    if first is not None and _cast_to_weight not in first._forward_pre_hooks.values():
        first.register_forward_pre_hook(_cast_to_weight)
    if vae.dtype == torch.float16 and dtype in ("float16", "float32"):
        vae.register_to_config(force_upcast=dtype == "float32")
    else:
        torch.nn.Module.to(vae, dtype=getattr(torch, dtype))


def _cast_to_weight(module: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return inputs[0].to(module.weight.dtype), *inputs[1:]


def weights_gb(model: Any) -> float | None:
    """Return GiB of parameters and buffers of an nn.Module or a diffusers pipeline; None for anything else."""
    import torch

    if isinstance(model, torch.nn.Module):
        return sum(stored_bytes(tensor) for tensor in (*model.parameters(), *model.buffers())) / BYTES_PER_GIB
    modules = _modules(model) if isinstance(getattr(model, "components", None), dict) else {}
    return sum(weights_gb(module) or 0.0 for module in modules.values()) if modules else None


def release_pipeline(pipe: Any) -> None:
    """Remove all hooks that a distribution added; rounded weights stay, they cannot be restored."""
    modules = _modules(pipe)
    for module in modules.values():
        if isinstance(vars(module).get("forward"), _Halves):
            module.forward = module.forward.whole
    pipe.remove_all_hooks()
    for module in modules.values():
        for part in module.modules():
            if (registry := getattr(part, "_diffusers_hook", None)) is not None:
                for name in _GROUP_HOOKS:
                    registry.remove_hook(name, recurse=False)


def carries(pipe: Any, plan: MemoryPlan, *, new_loras: bool = False) -> bool:
    """Tell whether `pipe` can be set up as `plan` says: weights that were rounded earlier cannot be restored, and LoRAs
    that load onto 8 bit floats (`new_loras`) would be rounded too."""
    import torch

    modules = _modules(pipe)
    stored = stored_as(_sampler(modules))
    if stored not in ("float16", plan.weight_dtype) or (stored == "float8" and new_loras):
        return False
    rounded_vae = "vae" in modules and modules["vae"].dtype == torch.bfloat16
    return not rounded_vae or plan.vae_dtype in ("", "bfloat16")


def _streamed(pipe: Any, modules: dict[str, Any], device: str) -> None:
    """Leaf by leaf. Streams need a second, pinned copy in RAM; where it has no room, each leaf is pinned as it goes.

    The VAE goes without: the pipeline casts it to float32 and back for the decode, which such a copy would not follow.
    """
    import torch
    from diffusers.hooks import apply_group_offloading

    pipe.to("cpu")
    resources = detect_resources()
    roomy = resources.ram_free_gb > sum(_stage_weights(modules).values())
    for name, module in modules.items():
        streams = device in OWN_MEMORY and _stage(name) != "vae"
        apply_group_offloading(
            module,
            onload_device=torch.device(device),
            offload_device=torch.device("cpu"),
            offload_type="leaf_level",
            use_stream=streams,
            record_stream=streams,
            low_cpu_mem_usage=not roomy,
        )


_PLACE: dict[OffloadStrategy, Callable[[Any, dict[str, Any], str], None]] = {
    OffloadStrategy.FULL_GPU: lambda pipe, modules, device: pipe.to(device),
    OffloadStrategy.CPU_OFFLOAD: lambda pipe, modules, device: pipe.enable_model_cpu_offload(device=device),
    OffloadStrategy.SEQUENTIAL: _streamed,
}


class _Halves:
    """A forward that computes a batch in two halves: with CFG batched, the negative prompts and then the prompts."""

    def __init__(self, whole: Callable[..., Any]) -> None:
        self.whole = whole

    def __call__(self, sample: Any, *args: Any, **kwargs: Any) -> Any:
        import torch

        if sample.shape[0] % 2:
            return self.whole(sample, *args, **kwargs)
        batch = sample.shape[0]
        halves = (_half((sample, args, kwargs), batch, index) for index in (0, 1))
        first, second = (self.whole(part, *others, **named) for part, others, named in halves)
        if isinstance(first, tuple):
            return tuple(torch.cat(pair) for pair in zip(first, second, strict=True))
        return type(first)(*(torch.cat(pair) for pair in zip(first.to_tuple(), second.to_tuple(), strict=True)))


def _half(value: Any, batch: int, index: int) -> Any:
    """The first or second half of each tensor of the batch's length, in containers too; all else as it is."""
    import torch

    if isinstance(value, torch.Tensor):
        return value.chunk(2)[index] if value.ndim and value.shape[0] == batch else value
    if isinstance(value, dict):
        return {key: _half(item, batch, index) for key, item in value.items()}
    return type(value)(_half(item, batch, index) for item in value) if isinstance(value, (tuple, list)) else value


def _modules(pipe: Any) -> dict[str, Any]:
    import torch

    return {name: part for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}


def _sampler(modules: dict[str, Any]) -> Any:
    return next(module for name, module in modules.items() if _stage(name) == "unet")


def _stage(component: str) -> str:
    return next((stage for prefix, stage in _STAGES if component.startswith(prefix)), "unet")


def _stage_weights(modules: dict[str, Any]) -> dict[str, float]:
    sizes = {"text": 0.0, "unet": 0.0, "vae": 0.0}
    for name, module in modules.items():
        sizes[_stage(name)] += weights_gb(module) or 0.0
    return sizes


def _native_side(pipe: Any) -> int:
    """Pixels a side that the pipeline makes by default; 1024 where it does not say."""
    side = getattr(getattr(getattr(pipe, "unet", None), "config", None), "sample_size", None)
    return side * int(getattr(pipe, "vae_scale_factor", 8)) if isinstance(side, int) else 1024
