"""LoRAs of every network and format: names and shapes as trainers publish them, in files without values."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

RANK = 4

Module = tuple[str, int, int]
"""(name, outputs, inputs)."""
Shapes = dict[str, tuple[int, ...]]


def lora(name: str, rows: int, columns: int) -> Shapes:
    return {f"{name}.lora_down.weight": (RANK, columns), f"{name}.lora_up.weight": (rows, RANK), f"{name}.alpha": ()}


def convolution(name: str, rows: int, columns: int) -> Shapes:
    down, up = (RANK, columns, 1, 1), (rows, RANK, 1, 1)
    return {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up, f"{name}.alpha": ()}


def peft(name: str, rows: int, columns: int) -> Shapes:
    return {f"{name}.lora_A.weight": (RANK, columns), f"{name}.lora_B.weight": (rows, RANK)}


def default(name: str, rows: int, columns: int) -> Shapes:
    return {f"{name}.lora_A.default.weight": (RANK, columns), f"{name}.lora_B.default.weight": (rows, RANK)}


def processor(name: str, rows: int, columns: int) -> Shapes:
    return {f"{name}_lora.down.weight": (RANK, columns), f"{name}_lora.up.weight": (rows, RANK)}


def dora(name: str, rows: int, columns: int) -> Shapes:
    return {**lora(name, rows, columns), f"{name}.dora_scale": (rows, 1)}


def lokr(name: str, rows: int, columns: int) -> Shapes:
    return {f"{name}.lokr_w1": (4, 4), f"{name}.lokr_w2": (rows // 4, columns // 4), f"{name}.alpha": ()}


def loha(name: str, rows: int, columns: int) -> Shapes:
    pairs = {f"{name}.hada_w{n}_{end}": shape for n in "12" for end, shape in (("a", (rows, 4)), ("b", (4, columns)))}
    return {**pairs, f"{name}.alpha": ()}


def glora(name: str, rows: int, columns: int) -> Shapes:
    shapes = {"a1": (columns, RANK), "a2": (RANK, columns), "b1": (rows, RANK), "b2": (RANK, columns)}
    return {f"{name}.{part}.weight": shape for part, shape in shapes.items()}


def oft(name: str, rows: int, columns: int) -> Shapes:
    return {f"{name}.oft_blocks": (4, rows // 4, rows // 4)}


def boft(name: str, rows: int, columns: int) -> Shapes:
    return {f"{name}.oft_blocks": (2, rows // 32, 32, 32), f"{name}.alpha": ()}


def with_bias(name: str, rows: int, columns: int) -> Shapes:
    """As distilled models are extracted: also the biases, and norms as differences."""
    if "norm" in name:
        return {f"{name}.diff": (rows,), f"{name}.diff_b": (rows,)}
    return {**lora(name, rows, columns), f"{name}.diff_b": (rows,)}


def text(prefix: str, layers: int, width: int, joint: str = "_") -> Iterator[Module]:
    for layer in range(layers):
        start = f"{prefix}{joint}text_model{joint}encoder{joint}layers{joint}{layer}{joint}"
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield f"{start}self_attn{joint}{part}", width, width
        yield f"{start}mlp{joint}fc1", 4 * width, width
        yield f"{start}mlp{joint}fc2", width, 4 * width


CLIP_L, CLIP_G = (12, 768), (32, 1280)
Levels = tuple[tuple[str, int, int, int], ...]
"""(block, transformers, depth, width) of a UNet."""
SD: Levels = (
    *((f"down_blocks_{n}", 2, 1, width) for n, width in enumerate((320, 640, 1280))),
    ("mid_block", 1, 1, 1280),
    *((f"up_blocks_{n}", 3, 1, width) for n, width in enumerate((1280, 640, 320), 1)),
)
XL: Levels = (
    ("down_blocks_1", 2, 2, 640),
    ("down_blocks_2", 2, 10, 1280),
    ("mid_block", 1, 10, 1280),
    ("up_blocks_0", 3, 10, 1280),
    ("up_blocks_1", 3, 2, 640),
)
REFINER: Levels = (
    ("down_blocks_1", 2, 4, 768),
    ("down_blocks_2", 2, 4, 1536),
    ("mid_block", 1, 4, 1536),
    ("up_blocks_1", 3, 4, 1536),
    ("up_blocks_2", 3, 4, 768),
)
SGM = {f"down_blocks_{b}_attentions_{n}": f"input_blocks_{3 * b + n + 1}_1" for b in (1, 2) for n in (0, 1)} | {
    "mid_block_attentions_0": "middle_block_1",
    **{f"up_blocks_{b}_attentions_{n}": f"output_blocks_{3 * b + n}_1" for b in (0, 1) for n in (0, 1, 2)},
}
"""SDXL's transformers by diffusers' names → by Stability's."""


def unet(levels: Levels, context: int, *, projections: bool = True) -> Iterator[Module]:
    for block, count, depth, width in levels:
        for number in range(count):
            start = f"{block}_attentions_{number}"
            for layer in range(depth):
                inner = f"{start}_transformer_blocks_{layer}"
                for attention, inputs in (("attn1", width), ("attn2", context)):
                    yield f"{inner}_{attention}_to_q", width, width
                    yield f"{inner}_{attention}_to_k", width, inputs
                    yield f"{inner}_{attention}_to_v", width, inputs
                    yield f"{inner}_{attention}_to_out_0", width, width
                yield f"{inner}_ff_net_0_proj", 8 * width, width
                yield f"{inner}_ff_net_2", width, 4 * width
            if projections:
                yield f"{start}_proj_in", width, width
                yield f"{start}_proj_out", width, width


def dotted(name: str) -> str:
    """A UNet module as diffusers' attention processors named it."""
    for part in ("attentions", "transformer_blocks", "attn1", "attn2"):
        name = name.replace(f"_{part}_", f".{part}.")
    name = name.replace("blocks_", "blocks.", 1).replace("transformer.blocks", "transformer_blocks")
    return name.replace(".to_", ".processor.to_").replace("to_out_0", "to_out")


def processors(levels: Levels, context: int) -> Iterator[Module]:
    for name, rows, columns in unet(levels, context, projections=False):
        if "attn" in name:
            yield f"unet.{dotted(name)}", rows, columns


def prefixed(prefix: str, modules: Iterator[Module], joint: str = ".") -> Iterator[Module]:
    for name, rows, columns in modules:
        yield prefix + name.replace(".", joint), rows, columns


def flux(double: int, single: int, width: int, gate: int = 4, *, modulation: bool = True) -> Iterator[Module]:
    """Black Forest Labs' names; `gate`: rows of the first layer of an MLP, by width."""
    inner = 4 if gate == 4 else 3
    for block in range(double):
        for side in ("img", "txt"):
            start = f"double_blocks.{block}.{side}_"
            yield f"{start}attn.qkv", 3 * width, width
            yield f"{start}attn.proj", width, width
            yield f"{start}mlp.0", gate * width, width
            yield f"{start}mlp.2", width, inner * width
            if modulation:
                yield f"{start}mod.lin", 6 * width, width
    for block in range(single):
        yield f"single_blocks.{block}.linear1", (3 + gate) * width, width
        yield f"single_blocks.{block}.linear2", width, (1 + inner) * width
        if modulation:
            yield f"single_blocks.{block}.modulation.lin", 3 * width, width


def klein(double: int, single: int, width: int) -> Iterator[Module]:
    """Flux.2's: a gated MLP, and modulation that the blocks share."""
    return flux(double, single, width, 6, modulation=False)


def flux_diffusers() -> Iterator[Module]:
    yield from joint_attention("transformer_blocks", 19, 3072)
    for block in range(19):
        for part in ("ff", "ff_context"):
            yield f"transformer_blocks.{block}.{part}.net.0.proj", 12288, 3072
            yield f"transformer_blocks.{block}.{part}.net.2", 3072, 12288
    for block in range(38):
        start = f"single_transformer_blocks.{block}."
        for part in ("to_q", "to_k", "to_v"):
            yield f"{start}attn.{part}", 3072, 3072
        yield f"{start}proj_mlp", 12288, 3072
        yield f"{start}proj_out", 3072, 15360


def joint_attention(blocks: str, count: int, width: int, last_out: bool = True) -> Iterator[Module]:
    for block in range(count):
        parts = ["to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj"]
        for part in (*parts, *(["to_add_out"] if last_out or block < count - 1 else [])):
            yield f"{blocks}.{block}.attn.{part}", width, width


def mmdit(depth: int) -> Iterator[Module]:
    width = 64 * depth
    for block in range(depth):
        for side in ("x", "context"):
            start = f"joint_blocks.{block}.{side}_block."
            yield f"{start}attn.qkv", 3 * width, width
            if side == "x" or block < depth - 1:
                yield f"{start}attn.proj", width, width
                yield f"{start}mlp.fc1", 4 * width, width
                yield f"{start}mlp.fc2", width, 4 * width


def z_image() -> Iterator[Module]:
    for layer in range(30):
        for part in ("attention.to_q", "attention.to_k", "attention.to_v", "attention.to_out.0"):
            yield f"layers.{layer}.{part}", 3840, 3840
        yield f"layers.{layer}.feed_forward.w1", 10240, 3840
        yield f"layers.{layer}.feed_forward.w2", 3840, 10240
        yield f"layers.{layer}.feed_forward.w3", 10240, 3840


def lumina2() -> Iterator[Module]:
    for layer in range(26):
        yield f"layers.{layer}.attention.qkv", 3840, 2304
        yield f"layers.{layer}.attention.out", 2304, 2304
        yield f"layers.{layer}.feed_forward.w1", 9216, 2304
        yield f"layers.{layer}.feed_forward.w2", 2304, 9216
        yield f"layers.{layer}.feed_forward.w3", 9216, 2304


def qwen(width: int = 3072) -> Iterator[Module]:
    yield from joint_attention("transformer_blocks", 60, width)
    for block in range(60):
        for side in ("img", "txt"):
            start = f"transformer_blocks.{block}.{side}_"
            yield f"{start}mlp.net.0.proj", 4 * width, width
            yield f"{start}mlp.net.2", width, 4 * width
            yield f"{start}mod.1", 6 * width, width


def wan(layers: int, width: int, inner: int) -> Iterator[Module]:
    for layer in range(layers):
        for attention in ("self_attn", "cross_attn"):
            for part in "qkvo":
                yield f"blocks.{layer}.{attention}.{part}", width, width
        yield f"blocks.{layer}.ffn.0", inner, width
        yield f"blocks.{layer}.ffn.2", width, inner


def wan_distilled() -> Iterator[Module]:
    yield from wan(40, 5120, 13824)
    for layer in range(40):
        yield f"blocks.{layer}.norm3", 5120, 1


def anima() -> Iterator[Module]:
    for block in range(28):
        for attention, context in (("self_attn", 2048), ("cross_attn", 1024)):
            yield f"blocks.{block}.{attention}.q_proj", 2048, 2048
            yield f"blocks.{block}.{attention}.k_proj", 2048, context
            yield f"blocks.{block}.{attention}.v_proj", 2048, context
            yield f"blocks.{block}.{attention}.output_proj", 2048, 2048
        yield f"blocks.{block}.mlp.layer1", 8192, 2048
        yield f"blocks.{block}.mlp.layer2", 2048, 8192


def hidream() -> Iterator[Module]:
    for kind, count, sides in (("double", 16, ("", "_t")), ("single", 32, ("",))):
        for block in range(count):
            for part in ("to_q", "to_k", "to_v", "to_out"):
                for side in sides:
                    yield f"{kind}_stream_blocks.{block}.block.attn1.{part}{side}", 2560, 2560


@dataclass(frozen=True)
class Pattern:
    """A LoRA that a trainer could have written."""

    network: str
    """The network that it was made for, by its name in `network_configs`."""
    modules: Callable[[], Iterator[Module]]
    form: Callable[[str, int, int], Shapes] = lora
    metadata: dict[str, str] = field(default_factory=dict)
    text: Callable[[], Iterator[Module]] = lambda: iter(())
    """Modules of text encoders, always written as kohya does."""

    def shapes(self) -> Shapes:
        found: Shapes = {}
        for module in self.modules():
            found |= self.form(*module)
        for module in self.text():
            found |= lora(*module)
        return found


def both_encoders() -> Iterator[Module]:
    yield from text("lora_te1", *CLIP_L)
    yield from text("lora_te2", *CLIP_G)


def kohya_xl() -> Iterator[Module]:
    return prefixed("lora_unet_", unet(XL, 2048))


def stability_xl() -> Iterator[Module]:
    for name, rows, columns in unet(XL, 2048):
        start = next(start for start in SGM if name.startswith(start))
        yield f"lora_unet_{SGM[start]}{name.removeprefix(start)}", rows, columns


def slider_xl() -> Iterator[Module]:
    for name, rows, columns in unet(XL, 2048):
        if "_attn1_" in name and "_0_transformer_blocks" in name:
            yield f"lora_unet_{name}", rows, columns


def t5() -> Iterator[Module]:
    yield from text("lora_te1", *CLIP_L)
    for block in range(24):
        for part in "qkvo":
            yield f"lora_te2_encoder_block_{block}_layer_0_SelfAttention_{part}", 4096, 4096


def chroma_with_guidance() -> Iterator[Module]:
    yield from prefixed("diffusion_model.", flux(19, 38, 3072, modulation=False))
    for layer in range(5):
        yield f"diffusion_model.distilled_guidance_layer.layers.{layer}.in_layer", 5120, 5120
        yield f"diffusion_model.distilled_guidance_layer.layers.{layer}.out_layer", 5120, 5120


def unet_convolutions(levels: Levels, context: int) -> Iterator[Module]:
    return prefixed("lora_unet_", unet(levels, context))


KLEIN_4B, KLEIN_9B, FLUX2 = (5, 20, 3072), (8, 24, 4096), (8, 48, 6144)

PATTERNS: dict[str, Pattern] = {
    "sd15 kohya": Pattern("sd1", lambda: unet_convolutions(SD, 768), text=lambda: text("lora_te", *CLIP_L)),
    "sd15 diffusers": Pattern("sd1", lambda: processors(SD, 768), processor),
    "sd15 locon": Pattern("sd1", lambda: unet_convolutions(SD, 768), convolution),
    "sd2 kohya": Pattern("sd2", lambda: unet_convolutions(SD, 1024)),
    "sdxl kohya": Pattern("sdxl", kohya_xl, text=both_encoders),
    "sdxl stability": Pattern("sdxl", stability_xl),
    "sdxl slider": Pattern("sdxl", slider_xl),
    "sdxl diffusers": Pattern("sdxl", lambda: processors(XL, 2048), processor),
    "sdxl dora": Pattern("sdxl", kohya_xl, dora),
    "sdxl lokr": Pattern("sdxl", kohya_xl, lokr),
    "sdxl lokr simpletuner": Pattern("sdxl", lambda: prefixed("lycoris_", unet(XL, 2048)), lokr),
    "sdxl loha": Pattern("sdxl", kohya_xl, loha),
    "sdxl glora": Pattern("sdxl", kohya_xl, glora),
    "sdxl oft": Pattern("sdxl", kohya_xl, oft),
    "sdxl boft": Pattern("sdxl", kohya_xl, boft),
    "kolors kohya": Pattern("kolors", kohya_xl, metadata={"modelspec.architecture": "kolors/lora"}),
    "refiner kohya": Pattern("sdxl_refiner", lambda: unet_convolutions(REFINER, 1280)),
    "sd3 kohya": Pattern("sd3", lambda: prefixed("lora_unet_", mmdit(24), "_"), text=both_encoders),
    "sd3.5 large kohya": Pattern("sd35_large", lambda: prefixed("lora_unet_", mmdit(38), "_")),
    "sd3.5 large diffusers": Pattern(
        "sd35_large", lambda: prefixed("transformer.", joint_attention("transformer_blocks", 38, 2432, False)), peft
    ),
    "flux kohya": Pattern("flux", lambda: prefixed("lora_unet_", flux(19, 38, 3072), "_")),
    "flux diffusers": Pattern("flux", lambda: prefixed("transformer.", flux_diffusers()), peft),
    "flux onetrainer": Pattern("flux", lambda: prefixed("lora_transformer_", flux_diffusers(), "_"), text=t5),
    "flux lokr simpletuner": Pattern("flux", lambda: prefixed("lycoris_", flux_diffusers(), "_"), lokr),
    "flux dora": Pattern("flux", lambda: prefixed("lora_unet_", flux(19, 38, 3072), "_"), dora),
    "klein 4b": Pattern("flux2_klein_4b", lambda: prefixed("diffusion_model.", klein(*KLEIN_4B)), peft),
    "klein 4b kohya": Pattern("flux2_klein_4b", lambda: prefixed("lora_unet_", klein(*KLEIN_4B), "_")),
    "klein 9b": Pattern("flux2_klein_9b", lambda: prefixed("diffusion_model.", klein(*KLEIN_9B)), peft),
    "flux2 dev": Pattern("flux2_dev", lambda: prefixed("diffusion_model.", klein(*FLUX2)), peft),
    "chroma": Pattern("chroma", chroma_with_guidance, peft),
    "chroma kohya": Pattern(
        "chroma",
        lambda: prefixed("lora_unet_", flux(19, 38, 3072, modulation=False), "_"),
        metadata={"modelspec.architecture": "chroma/lora"},
    ),
    "z-image": Pattern("z_image", lambda: prefixed("diffusion_model.", z_image()), peft),
    "z-image diffusers": Pattern("z_image", lambda: prefixed("transformer.", z_image()), peft),
    "z-image lokr": Pattern("z_image", lambda: prefixed("lycoris_", z_image(), "_"), lokr),
    "lumina 2": Pattern("lumina2", lambda: prefixed("diffusion_model.", lumina2()), peft),
    "qwen": Pattern("qwen_image", lambda: prefixed("transformer.", qwen()), peft),
    "qwen default": Pattern("qwen_image", qwen, default),
    "qwen lightning": Pattern("qwen_image", qwen),
    "qwen kohya": Pattern("qwen_image", lambda: prefixed("lora_unet_", qwen(), "_")),
    "wan 14b": Pattern("wan_14b", lambda: prefixed("diffusion_model.", wan(40, 5120, 13824)), peft),
    "wan 14b fun": Pattern("wan_14b", lambda: prefixed("lora_unet__", wan(40, 5120, 13824), "_")),
    "wan 14b biases": Pattern("wan_14b", lambda: prefixed("diffusion_model.", wan_distilled()), with_bias),
    "wan 5b": Pattern("wan_5b", lambda: prefixed("diffusion_model.", wan(30, 3072, 14336)), peft),
    "anima": Pattern("anima", lambda: prefixed("diffusion_model.", anima()), peft),
    "anima kohya": Pattern("anima", lambda: prefixed("lora_unet_", anima(), "_")),
    "hidream": Pattern("hidream", lambda: prefixed("diffusion_model.", hidream()), peft),
    "hidream lokr": Pattern("hidream", lambda: prefixed("lycoris_", hidream(), "_"), lokr),
    "sd15 text": Pattern("sd1", lambda: iter(()), text=lambda: text("lora_te", *CLIP_L)),
    "sdxl text": Pattern("sdxl", lambda: iter(()), text=both_encoders),
}

OTHER_EDITIONS = {"flux_schnell": "flux"}
"""Network → the network with the same LoRAs."""


def is_own(name: str, network: str) -> bool:
    """Return True where the LoRA `name` of `PATTERNS` was made for this network."""
    return PATTERNS[name].network == OTHER_EDITIONS.get(network, network)


def write(path: Path, shapes: Shapes, metadata: dict[str, str]) -> None:
    """Write a safetensors file of zeros, which takes no room on the disk."""
    header: dict[str, object] = {"__metadata__": metadata} if metadata else {}
    size = 0
    for key, shape in shapes.items():
        end = size + 2 * math.prod(shape)
        header[key] = {"dtype": "F16", "shape": shape, "data_offsets": [size, end]}
        size = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + size)


def write_all(folder: Path) -> None:
    """Write a file for each of `PATTERNS`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, pattern in PATTERNS.items():
        write(folder / f"{name}.safetensors", pattern.shapes(), pattern.metadata)
