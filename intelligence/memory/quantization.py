"""Weights in fewer bits, in place: 8 bit floats by diffusers, 8 bit integers by torchao, 4 bits by bitsandbytes.

diffusers' quantization configs do the same to each Linear layer while a folder is loaded; done here afterwards, it
serves single files too, and a model that is there already. None of it can be undone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

from ..errors import MissingDependencyError, install_command

LIBRARIES = {"int8": "torchao", "nf4": "bitsandbytes"}
"""Format → library that it needs beside torch and diffusers, in the extra `quantization`."""

_LORA = frozenset(("lora_A", "lora_B"))
"""Names under which peft keeps the layers of LoRAs, which stay as they are."""


def installed() -> tuple[str, ...]:
    """Return the formats whose library is installed."""
    return tuple(weight_dtype for weight_dtype, library in LIBRARIES.items() if find_spec(library) is not None)


def store(module: Any, weight_dtype: str, device: str) -> None:
    """Change the weights of `module`, which are as loaded, to `float8`, `int8` or `nf4`, where they lie.

    Integers are computed on `device`, one layer at a time. Raises MissingDependencyError where the format's library is
    not installed.
    """
    library = LIBRARIES.get(weight_dtype)
    if library is not None and weight_dtype not in installed():
        raise MissingDependencyError(f"{weight_dtype} weights need {library}: {install_command('quantization')}")
    _STORE[weight_dtype](module, device)


def stored_as(module: Any) -> str:
    """Return the format of the weights of `module`, as `store` changed them; `float16` where they are as loaded."""
    import torch

    for parameter in module.parameters():
        if parameter.dtype == torch.float8_e4m3fn:
            return "float8"
        if found := _CLASSES.get(type(parameter).__name__):
            return found
    return "float16"


def stored_bytes(tensor: Any) -> int:
    """Return the bytes of a tensor as it lies in memory, with its scales."""
    return sum(int(part.numel() * part.element_size()) for part in parts_of(tensor))


def parts_of(tensor: Any) -> Iterator[Any]:
    """Yield the plain tensors that a tensor consists of."""
    if hasattr(tensor, "__tensor_flatten__"):  # one of torchao's
        for name in tensor.__tensor_flatten__()[0]:
            yield from parts_of(getattr(tensor, name))
        return
    yield tensor
    scales = getattr(tensor, "quant_state", None)  # one of bitsandbytes'
    if scales is not None:
        yield from (scales.absmax, scales.code)


def _float8(module: Any, _device: str) -> None:
    import torch

    module.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=module.dtype)


def _int8(module: Any, device: str) -> None:
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    config = Int8WeightOnlyConfig(set_inductor_config=False)  # which would change matrix products of the whole process
    for _, _, linear in _linears(module):
        home = linear.weight.device
        quantize_(linear.to(device), config)
        linear.to(home)


def _nf4(module: Any, device: str) -> None:
    """4 bit normal floats with a scale for every 64 numbers [QLoRA, arXiv:2305.14314]."""
    from bitsandbytes.nn import Linear4bit, Params4bit

    how: dict[str, Any] = {"quant_type": "nf4", "compress_statistics": False}
    for parent, name, linear in list(_linears(module)):
        sides, dtype = (linear.in_features, linear.out_features), linear.weight.dtype
        made = Linear4bit(*sides, bias=linear.bias is not None, compute_dtype=dtype, device="meta", **how)
        made.weight = Params4bit(linear.weight.data, requires_grad=False, module=made, **how)
        made.bias = linear.bias
        setattr(parent, name, made.to(device).to(linear.weight.device))


_STORE: dict[str, Callable[[Any, str], None]] = {"float8": _float8, "int8": _int8, "nf4": _nf4}

_CLASSES = {"Int8Tensor": "int8", "Params4bit": "nf4"}
"""Class of a parameter → its format."""


def _linears(module: Any) -> Iterator[tuple[Any, str, Any]]:
    """The Linear layers in `module`, with their parents and the names they have there."""
    import torch

    for path, part in module.named_modules():
        if isinstance(part, torch.nn.Linear) and not _LORA.intersection(path.split(".")):
            parent, _, name = path.rpartition(".")
            yield module.get_submodule(parent), name, part
