"""Memory of a network beside its weights, found without running it: modules on torch's meta device, their allocations
recorded and replayed through a model of the allocator. Needs torch, and diffusers or transformers for their modules.

A build tool: it replaces torch's attention function for the whole process while it runs.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from unittest.mock import patch

from intelligence.memory.footprints import Footprint
from intelligence.memory.quantization import parts_of, stored_bytes
from intelligence.units import BYTES_PER_MIB
from tests.tools.allocator import Event, least_limit, replay

LATENT_SCALE = 8
"""Pixels a side of an image for one of its latent, in every Stable Diffusion model."""


@dataclass
class _Record:
    """Allocations and releases of a run, in their order."""

    events: list[Event] = field(default_factory=list)
    flop: int = 0
    _known: set[int] = field(default_factory=set)
    _keys: int = 0

    def ignore(self, tensor: Any) -> None:
        for part in parts_of(tensor):
            self._known.add(part.untyped_storage()._cdata)

    def add(self, tensor: Any) -> None:
        storage = tensor.untyped_storage()
        address = storage._cdata
        if address in self._known or storage.nbytes() == 0:
            return
        self._known.add(address)
        self._keys += 1
        self.events.append(Event(self._keys, storage.nbytes()))
        weakref.finalize(storage, self._release, address, self._keys)

    def add_workspace(self, size: int) -> None:
        self._keys += 1
        self.events += [Event(self._keys, size, optional=True), Event(self._keys, 0)]

    def _release(self, address: int, key: int) -> None:
        self._known.discard(address)
        self.events.append(Event(key, 0))


def simulate(module: Any, call: Callable[..., Any], inputs: Sequence[Any], attention: str = "flash") -> Footprint:
    """The footprint of `call(*inputs)`, which runs `module`; module and inputs are on the meta device.

    Args:
        attention: `flash` (also memory-efficient: the output and a row sum in float32), `math` (all scores, which
            torch computes in float32 for half precision).
    """
    import torch

    record = _Record()
    for tensor in (*module.parameters(), *module.buffers()):
        record.ignore(tensor)
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(patch.object(torch, "autocast", lambda *_, **__: nullcontext()))  # refuses the meta device
        stack.enter_context(_flash_attention(record) if attention == "flash" else _without_masks())
        for tensor in inputs:
            record.add(tensor)
        stack.enter_context(_recorder(record))
        result = call(*inputs)
    events = list(record.events)
    del result
    tensors, everything = replay([event for event in events if not event.optional]), replay(events)
    assert tensors is not None and everything is not None
    sizes = (tensors.allocated, everything.allocated, tensors.reserved, everything.reserved, least_limit(events))
    return Footprint._make((*(size / BYTES_PER_MIB for size in sizes), record.flop / 1e12))


def _recorder(record: _Record) -> Any:
    """A mode that notes every new storage, the workspace of every convolution, and the work."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves
    from torch.utils.flop_counter import flop_registry

    convolution = torch.ops.aten.convolution

    class Recorder(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            out = func(*args, **kwargs)
            for leaf in tree_leaves(out):
                if isinstance(leaf, torch.Tensor):
                    record.add(leaf)
            packet = func._overloadpacket
            if packet in flop_registry:
                record.flop += flop_registry[packet](*args, **kwargs, out_val=out)
            if packet is convolution:
                record.add_workspace(_bytes(args[0]) + _bytes(args[1]) + _bytes(out))
            return out

    return Recorder()


@contextmanager
def _flash_attention(record: _Record) -> Iterator[None]:
    """`scaled_dot_product_attention` as flash and memory-efficient attention allocate: the output, laid out as (batch,
    tokens, heads, width), and a float32 number a row; without it the meta device takes the math path."""
    import torch
    import torch.nn.functional as functional

    def attend(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> Any:
        batch, heads, tokens, width = query.shape
        out = query.new_empty(batch, tokens, heads, value.shape[-1]).transpose(1, 2)
        row_sums = query.new_empty(batch, heads, tokens, dtype=torch.float32)  # lives until the call returns
        record.flop += 2 * batch * heads * tokens * key.shape[2] * (width + value.shape[-1])
        del row_sums
        return out

    with patch.object(functional, "scaled_dot_product_attention", attend):
        yield


@contextmanager
def _without_masks() -> Iterator[None]:
    """`scaled_dot_product_attention` without masks, which are small beside the scores and may be no meta tensors."""
    import torch.nn.functional as functional

    original = functional.scaled_dot_product_attention

    def attend(query: Any, key: Any, value: Any, attn_mask: Any = None, **options: Any) -> Any:
        return original(query, key, value, **options)

    with patch.object(functional, "scaled_dot_product_attention", attend):
        yield


def _bytes(tensor: Any) -> int:
    return int(tensor.numel() * tensor.element_size())


class Weights(NamedTuple):
    """Parameters and buffers of a module, MiB in the precision that it was built in."""

    total: float
    largest: float
    """Of the largest module without children: what streaming holds at a time."""
    linear: float
    """Of the matrices of all Linear layers together."""
    largest_linear: float
    """Of the largest of them."""
    linear_rows: int
    """Output features of all Linear layers."""


def weights(module: Any) -> Weights:
    """The sizes of a module's weights."""
    import torch

    leaves = [part for part in module.modules() if not any(True for _ in part.children())]
    matrices = [part.weight for part in leaves if isinstance(part, torch.nn.Linear)]
    linear = [_bytes(matrix) / BYTES_PER_MIB for matrix in matrices]
    rows = sum(matrix.shape[0] for matrix in matrices)
    return Weights(_weight_mib(module), max(map(_weight_mib, leaves)), sum(linear), max(linear, default=0.0), rows)


def _weight_mib(module: Any) -> float:
    return sum(stored_bytes(tensor) for tensor in (*module.parameters(), *module.buffers())) / BYTES_PER_MIB


def build(config: Mapping[str, Any], dtype: str) -> Any:
    """The diffusers or transformers module of a component's `config.json`, on the meta device."""
    import diffusers
    import torch
    import transformers

    with torch.device("meta"):
        if "_class_name" in config:
            module = getattr(diffusers, config["_class_name"]).from_config(dict(config))
        else:
            kind = getattr(transformers, config["architectures"][0])
            module = kind(kind.config_class.from_dict(dict(config)))
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return torch.nn.Module.to(module, dtype=getattr(torch, dtype)).eval()


def unet_footprint(unet: Any, width: int, height: int, items: int, attention: str = "flash") -> Footprint:
    """One forward of `items` latents (CFG counts twice) of a diffusers UNet2DConditionModel; pixels a side."""
    import torch

    config, meta = unet.config, {"device": "meta", "dtype": unet.dtype}
    latents = torch.empty(items, config.in_channels, height // LATENT_SCALE, width // LATENT_SCALE, **meta)
    inputs = [latents, torch.empty(items, 77, config.cross_attention_dim, **meta)]
    if config.addition_embed_type == "text_time":
        pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
        inputs += [torch.empty(items, pooled, **meta), torch.empty(items, 6, **meta)]

    def call(sample: Any, text: Any, *conditions: Any) -> Any:
        added = dict(zip(("text_embeds", "time_ids"), conditions, strict=False)) or None
        return unet(sample, 500, text, added_cond_kwargs=added, return_dict=False)

    return simulate(unet, call, inputs, attention)


def transformer_footprint(transformer: Any, inputs: Mapping[str, Any], attention: str = "flash") -> Footprint:
    """Simulate a forward of a diffusers transformer with `inputs`."""
    import torch
    from torch.utils._pytree import tree_leaves

    tensors = [leaf for leaf in tree_leaves(inputs) if isinstance(leaf, torch.Tensor)]
    return simulate(transformer, lambda *_: transformer(**inputs, return_dict=False), tensors, attention)


def vae_footprint(vae: Any, width: int, height: int) -> Footprint:
    """Decoding one image with a diffusers autoencoder, in tiles where it is set so; pixels a side."""
    import torch

    sides = (height // LATENT_SCALE, width // LATENT_SCALE)
    config = vae.config
    latent_size = (1, config.z_dim, 1, *sides) if "z_dim" in config else (1, config.latent_channels, *sides)
    latent = torch.empty(latent_size, device="meta", dtype=vae.dtype)
    return simulate(vae, lambda sample: vae.decode(sample, return_dict=False), [latent])


def text_footprint(encoder: Any, prompts: int = 2) -> Footprint:
    """Encoding `prompts` texts of 77 tokens with a transformers CLIP text model."""
    import torch

    tokens = torch.empty(prompts, 77, device="meta", dtype=torch.int64)
    return simulate(encoder, lambda ids: encoder(ids, output_hidden_states=True), [tokens])
