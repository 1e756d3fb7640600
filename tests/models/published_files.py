"""Headers of LoRAs and checkpoints as trainers and publishers write them: names and widths of the published models.

Written by hand from the models' own repositories, and not from the table that the product reads.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from intelligence.models.kinds import Architecture as A

Shapes = dict[str, tuple[int, ...]]
Layer = tuple[str, int, int]
"""(name with dots, values in, values out)"""

Writer = Callable[[str, int, int], Shapes]
"""(module, values in, values out) → tensors"""

RANK = 8


def layers(text: str) -> list[Layer]:
    """Layers, one a line: name, in, out. `{19}` stands for the numbers of 19 blocks, `{q,k,v}` for each of these."""
    found: list[Layer] = []
    for line in text.strip().splitlines():
        name, *sides = line.split()
        found += [(each, int(sides[0]), int(sides[1])) for each in expanded(name)]
    return found


def expanded(name: str) -> Iterator[str]:
    match = re.search(r"\{([^}]*)\}", name)
    if match is None:
        yield name
        return
    values = match[1].split(",") if not match[1].isdecimal() else map(str, range(int(match[1])))
    for value in values:
        yield from expanded(name[: match.start()] + value + name[match.end() :])


class Published(NamedTuple):
    """A published model's layers that LoRAs change."""

    architecture: A
    native: str
    """Under the names of its own repository, which ComfyUI uses."""
    diffusers: str = ""
    declared: str = ""
    """`modelspec.architecture` where another network has the same layers."""


def flux(hidden: int, double: int, single: int, mlp: int, linear1: int, linear2: int, modulated: bool = True) -> str:
    lines = f"""
double_blocks.{{{double}}}.{{img,txt}}_attn.qkv {hidden} {3 * hidden}
double_blocks.{{{double}}}.{{img,txt}}_attn.proj {hidden} {hidden}
double_blocks.{{{double}}}.{{img,txt}}_mlp.0 {hidden} {mlp}
double_blocks.{{{double}}}.{{img,txt}}_mlp.2 {linear2 - hidden} {hidden}
single_blocks.{{{single}}}.linear1 {hidden} {linear1}
single_blocks.{{{single}}}.linear2 {linear2} {hidden}
"""
    if modulated:
        lines += f"double_blocks.{{{double}}}.{{img,txt}}_mod.lin {hidden} {6 * hidden}\n"
        lines += f"single_blocks.{{{single}}}.modulation.lin {hidden} {3 * hidden}\n"
    return lines


def flux_diffusers(double: int, single: int, modulated: bool = True) -> str:
    lines = f"""
transformer_blocks.{{{double}}}.attn.to_{{q,k,v}} 3072 3072
transformer_blocks.{{{double}}}.attn.add_{{q,k,v}}_proj 3072 3072
transformer_blocks.{{{double}}}.attn.to_out.0 3072 3072
transformer_blocks.{{{double}}}.attn.to_add_out 3072 3072
transformer_blocks.{{{double}}}.{{ff,ff_context}}.net.0.proj 3072 12288
transformer_blocks.{{{double}}}.{{ff,ff_context}}.net.2 12288 3072
single_transformer_blocks.{{{single}}}.attn.to_{{q,k,v}} 3072 3072
single_transformer_blocks.{{{single}}}.proj_mlp 3072 12288
single_transformer_blocks.{{{single}}}.proj_out 15360 3072
"""
    return lines + (f"single_transformer_blocks.{{{single}}}.norm.linear 3072 9216\n" if modulated else "")


def flux2_diffusers(hidden: int, double: int, single: int) -> str:
    return f"""
transformer_blocks.{{{double}}}.attn.to_{{q,k,v}} {hidden} {hidden}
transformer_blocks.{{{double}}}.attn.add_{{q,k,v}}_proj {hidden} {hidden}
transformer_blocks.{{{double}}}.{{ff,ff_context}}.linear_in {hidden} {6 * hidden}
transformer_blocks.{{{double}}}.{{ff,ff_context}}.linear_out {3 * hidden} {hidden}
single_transformer_blocks.{{{single}}}.attn.to_qkv_mlp_proj {hidden} {9 * hidden}
single_transformer_blocks.{{{single}}}.attn.to_out {4 * hidden} {hidden}
"""


def qwen(blocks: int) -> str:
    return f"""
transformer_blocks.{{{blocks}}}.attn.to_{{q,k,v}} 3072 3072
transformer_blocks.{{{blocks}}}.attn.add_{{q,k,v}}_proj 3072 3072
transformer_blocks.{{{blocks}}}.attn.to_out.0 3072 3072
transformer_blocks.{{{blocks}}}.attn.to_add_out 3072 3072
transformer_blocks.{{{blocks}}}.{{img,txt}}_mlp.net.0.proj 3072 12288
transformer_blocks.{{{blocks}}}.{{img,txt}}_mlp.net.2 12288 3072
transformer_blocks.{{{blocks}}}.{{img,txt}}_mod.1 3072 18432
"""


def wan(dim: int, ffn: int, blocks: int) -> str:
    return f"""
blocks.{{{blocks}}}.{{self,cross}}_attn.{{q,k,v,o}} {dim} {dim}
blocks.{{{blocks}}}.ffn.0 {dim} {ffn}
blocks.{{{blocks}}}.ffn.2 {ffn} {dim}
"""


def wan_diffusers(dim: int, ffn: int, blocks: int) -> str:
    return f"""
blocks.{{{blocks}}}.{{attn1,attn2}}.to_{{q,k,v}} {dim} {dim}
blocks.{{{blocks}}}.{{attn1,attn2}}.to_out.0 {dim} {dim}
blocks.{{{blocks}}}.ffn.net.0.proj {dim} {ffn}
blocks.{{{blocks}}}.ffn.net.2 {ffn} {dim}
"""


def sd3(width: int, blocks: int) -> str:
    return f"""
joint_blocks.{{{blocks - 1}}}.{{x,context}}_block.attn.qkv {width} {3 * width}
joint_blocks.{{{blocks - 1}}}.{{x,context}}_block.attn.proj {width} {width}
joint_blocks.{{{blocks - 1}}}.{{x,context}}_block.mlp.fc1 {width} {4 * width}
joint_blocks.{{{blocks - 1}}}.{{x,context}}_block.mlp.fc2 {4 * width} {width}
joint_blocks.{blocks - 1}.x_block.attn.qkv {width} {3 * width}
"""


def sd3_diffusers(width: int, blocks: int) -> str:
    return f"""
transformer_blocks.{{{blocks}}}.attn.to_{{q,k,v}} {width} {width}
transformer_blocks.{{{blocks}}}.attn.add_{{q,k,v}}_proj {width} {width}
transformer_blocks.{{{blocks}}}.attn.to_out.0 {width} {width}
transformer_blocks.{{{blocks}}}.ff.net.0.proj {width} {4 * width}
"""


def lumina(dim: int, blocks: int, qkv: int, ffn: int) -> str:
    return "\n".join(
        f"{part}.attention.qkv {dim} {qkv}\n{part}.attention.out {dim} {dim}\n"
        f"{part}.feed_forward.{{w1,w3}} {dim} {ffn}\n{part}.feed_forward.w2 {ffn} {dim}"
        for part in (f"layers.{{{blocks}}}", "noise_refiner.{2}", "context_refiner.{2}")
    )


def hunyuan(hidden: int, double: int, single: int) -> str:
    return f"""
double_blocks.{{{double}}}.{{img,txt}}_attn_qkv {hidden} {3 * hidden}
double_blocks.{{{double}}}.{{img,txt}}_attn_proj {hidden} {hidden}
double_blocks.{{{double}}}.{{img,txt}}_mlp.fc1 {hidden} {4 * hidden}
double_blocks.{{{double}}}.{{img,txt}}_mlp.fc2 {4 * hidden} {hidden}
double_blocks.{{{double}}}.{{img,txt}}_mod.linear {hidden} {6 * hidden}
single_blocks.{{{single}}}.linear1 {hidden} {7 * hidden}
single_blocks.{{{single}}}.linear2 {5 * hidden} {hidden}
"""


def unet(places: list[tuple[str, int, int]], text: int) -> str:
    """`places`: (stem of a transformer, its depth, its width)."""
    return "\n".join(
        f"{stem}.transformer_blocks.{{{depth}}}.attn1.to_{{q,k,v}} {width} {width}\n"
        f"{stem}.transformer_blocks.{{{depth}}}.attn2.to_q {width} {width}\n"
        f"{stem}.transformer_blocks.{{{depth}}}.attn2.to_{{k,v}} {text} {width}\n"
        f"{stem}.transformer_blocks.{{{depth}}}.ff.net.0.proj {width} {8 * width}\n"
        f"{stem}.transformer_blocks.{{{depth}}}.ff.net.2 {4 * width} {width}"
        for stem, depth, width in places
    )


SDXL_STAGES = [
    *[(f"input_blocks.{number}.1", 2, 640) for number in (4, 5)],
    *[(f"input_blocks.{number}.1", 10, 1280) for number in (7, 8)],
    ("middle_block.1", 10, 1280),
    *[(f"output_blocks.{number}.1", 10, 1280) for number in (0, 1, 2)],
    *[(f"output_blocks.{number}.1", 2, 640) for number in (3, 4, 5)],
]
SDXL_DIFFUSERS = [
    *[(f"down_blocks.1.attentions.{number}", 2, 640) for number in (0, 1)],
    *[(f"down_blocks.2.attentions.{number}", 10, 1280) for number in (0, 1)],
    ("mid_block.attentions.0", 10, 1280),
    *[(f"up_blocks.0.attentions.{number}", 10, 1280) for number in (0, 1, 2)],
    *[(f"up_blocks.1.attentions.{number}", 2, 640) for number in (0, 1, 2)],
]
SD1_STAGES = [
    *[(f"input_blocks.{number}.1", 1, width) for number, width in ((1, 320), (2, 320), (4, 640), (5, 640))],
    *[(f"input_blocks.{number}.1", 1, 1280) for number in (7, 8)],
    ("middle_block.1", 1, 1280),
    *[(f"output_blocks.{number}.1", 1, width) for number, width in ((3, 1280), (6, 640), (9, 320))],
]
SD1_DIFFUSERS = [
    *[(f"down_blocks.{block}.attentions.{n}", 1, 320 * 2**block) for block in (0, 1, 2) for n in (0, 1)],
    ("mid_block.attentions.0", 1, 1280),
    *[(f"up_blocks.{block}.attentions.{n}", 1, 1280 // 2 ** (block - 1)) for block in (1, 2, 3) for n in (0, 1, 2)],
]
REFINER_STAGES = [
    *[(f"input_blocks.{number}.1", 4, 768) for number in (4, 5)],
    *[(f"input_blocks.{number}.1", 4, 1536) for number in (7, 8)],
    ("middle_block.1", 4, 1536),
]

PUBLISHED: dict[str, Published] = {
    "sdxl": Published(A.SDXL, unet(SDXL_STAGES, 2048), unet(SDXL_DIFFUSERS, 2048)),
    "sd1": Published(A.SD1, unet(SD1_STAGES, 768), unet(SD1_DIFFUSERS, 768)),
    "sd2": Published(A.SD2, unet(SD1_STAGES, 1024), unet(SD1_DIFFUSERS, 1024)),
    "sdxl_refiner": Published(A.SDXL_REFINER, unet(REFINER_STAGES, 1280)),
    "kolors": Published(A.KOLORS, unet(SDXL_STAGES, 2048), unet(SDXL_DIFFUSERS, 2048), "kolors"),
    "flux": Published(A.FLUX, flux(3072, 19, 38, 12288, 21504, 15360), flux_diffusers(19, 38)),
    "chroma": Published(
        A.CHROMA, flux(3072, 19, 38, 12288, 21504, 15360, False), flux_diffusers(19, 38, False), "chroma"
    ),
    "flux2_dev": Published(A.FLUX2_DEV, flux(6144, 8, 48, 36864, 55296, 24576, False), flux2_diffusers(6144, 8, 48)),
    "flux2_klein_9b": Published(
        A.FLUX2_KLEIN_9B, flux(4096, 8, 24, 24576, 36864, 16384, False), flux2_diffusers(4096, 8, 24)
    ),
    "flux2_klein_4b": Published(
        A.FLUX2_KLEIN_4B, flux(3072, 5, 20, 18432, 27648, 12288, False), flux2_diffusers(3072, 5, 20)
    ),
    "qwen_image": Published(A.QWEN_IMAGE, qwen(60), qwen(60)),
    "mage_flow": Published(A.MAGE_FLOW, qwen(48), qwen(48)),
    "z_image": Published(
        A.Z_IMAGE,
        lumina(3840, 30, 11520, 10240) + "\nlayers.{30}.adaLN_modulation.0 256 15360",
        "layers.{30}.attention.to_{q,k,v} 3840 3840\nlayers.{30}.attention.to_out.0 3840 3840\n"
        "layers.{30}.feed_forward.{w1,w3} 3840 10240\nlayers.{30}.feed_forward.w2 10240 3840",
    ),
    "lumina2": Published(
        A.LUMINA2,
        lumina(2304, 26, 3840, 9216),
        "layers.{26}.attn.to_q 2304 2304\nlayers.{26}.attn.to_{k,v} 2304 768\nlayers.{26}.attn.to_out.0 2304 2304",
    ),
    "krea2": Published(
        A.KREA2,
        "blocks.{28}.attn.{wq,wo,gate} 6144 6144\nblocks.{28}.attn.{wk,wv} 6144 1536\n"
        "blocks.{28}.mlp.{gate,up} 6144 16384\nblocks.{28}.mlp.down 16384 6144\n"
        "txtfusion.layerwise_blocks.{2}.attn.{wq,wk,wv} 2560 2560",
        "transformer_blocks.{28}.attn.to_{q,gate} 6144 6144\ntransformer_blocks.{28}.attn.to_{k,v} 6144 1536\n"
        "transformer_blocks.{28}.ff.{gate,up} 6144 16384\ntransformer_blocks.{28}.ff.down 16384 6144",
    ),
    "anima": Published(
        A.ANIMA,
        "blocks.{28}.{self,cross}_attn.{q,output}_proj 2048 2048\nblocks.{28}.self_attn.{k,v}_proj 2048 2048\n"
        "blocks.{28}.cross_attn.{k,v}_proj 1024 2048\nblocks.{28}.mlp.layer1 2048 8192\n"
        "blocks.{28}.mlp.layer2 8192 2048\nllm_adapter.blocks.{6}.self_attn.{q,k,v}_proj 1024 1024",
    ),
    "cosmos_predict2": Published(
        A.COSMOS_PREDICT2,
        "blocks.{28}.{self,cross}_attn.{q,output}_proj 2048 2048\nblocks.{28}.cross_attn.{k,v}_proj 1024 2048\n"
        "blocks.{28}.mlp.layer1 2048 8192",
        "",
        "cosmos-predict2-2b",
    ),
    "wan_14b": Published(A.WAN_14B, wan(5120, 13824, 40), wan_diffusers(5120, 13824, 40)),
    "wan_5b": Published(A.WAN_5B, wan(3072, 14336, 30), wan_diffusers(3072, 14336, 30)),
    "wan_1_3b": Published(A.WAN_1_3B, wan(1536, 8960, 30), wan_diffusers(1536, 8960, 30)),
    "sd3_medium": Published(A.SD3, sd3(1536, 24), sd3_diffusers(1536, 24)),
    "sd35_large": Published(A.SD35_LARGE, sd3(2432, 38), sd3_diffusers(2432, 38)),
    "hidream": Published(
        A.HIDREAM,
        "double_stream_blocks.{16}.block.attn1.to_{q,k,v,out} 2560 2560\n"
        "double_stream_blocks.{16}.block.ff_i.shared_experts.{w1,w3} 2560 3584\n"
        "single_stream_blocks.{32}.block.attn1.to_{q,k,v,out} 2560 2560",
    ),
    "ernie_image": Published(
        A.ERNIE_IMAGE,
        "layers.{36}.self_attention.to_{q,k,v} 4096 4096\nlayers.{36}.self_attention.to_out.0 4096 4096\n"
        "layers.{36}.mlp.{gate,up}_proj 4096 12288\nlayers.{36}.mlp.linear_fc2 12288 4096",
    ),
    "ideogram4": Published(
        A.IDEOGRAM4,
        "layers.{34}.attention.qkv 4608 13824\nlayers.{34}.attention.o 4608 4608\n"
        "layers.{34}.feed_forward.{w1,w3} 4608 12288",
    ),
    "omnigen2": Published(
        A.OMNIGEN2,
        "layers.{32}.attn.to_q 2520 2520\nlayers.{32}.attn.to_{k,v} 2520 840\n"
        "layers.{32}.feed_forward.linear_{1,3} 2520 10240",
    ),
    "hunyuan_video": Published(A.HUNYUAN_VIDEO, hunyuan(3072, 20, 40), flux_diffusers(20, 40)),
    "hunyuan_image": Published(A.HUNYUAN_IMAGE, hunyuan(3584, 20, 40)),
    "ltx_video": Published(
        A.LTX_VIDEO,
        "transformer_blocks.{28}.{attn1,attn2}.to_{q,k,v} 2048 2048\ntransformer_blocks.{28}.ff.net.0.proj 2048 8192",
    ),
    "mochi": Published(A.MOCHI, "blocks.{48}.attn.qkv_x 3072 9216\nblocks.{48}.attn.qkv_y 1536 9216"),
    "pixart": Published(
        A.PIXART,
        "blocks.{28}.attn.qkv 1152 3456\nblocks.{28}.cross_attn.q_linear 1152 1152\nblocks.{28}.mlp.fc1 1152 4608",
        "transformer_blocks.{28}.{attn1,attn2}.to_{q,k,v} 1152 1152",
    ),
    "auraflow": Published(
        A.AURAFLOW,
        "double_layers.{4}.attn.{w1q,w1k,w1v,w2q} 3072 3072\nsingle_layers.{32}.attn.{w1q,w1k,w1v} 3072 3072\n"
        "single_layers.{32}.mlp.c_fc1 3072 8192",
    ),
    "hunyuan_dit": Published(A.HUNYUAN_DIT, "blocks.{40}.attn1.Wqkv 1408 4224\nblocks.{40}.attn2.kv_proj 1024 2816"),
}
"""Name → the published model."""


def pair(
    down: str, up: str, more: Callable[[str, int, int], Shapes] | None = None
) -> Callable[[str, int, int], Shapes]:
    """A low-rank pair with these endings."""

    def write(name: str, inner: int, outer: int) -> Shapes:
        extra = more(name, inner, outer) if more else {}
        return {f"{name}{down}": (RANK, inner), f"{name}{up}": (outer, RANK), **extra}

    return write


def alpha(name: str, inner: int, outer: int) -> Shapes:
    return {f"{name}.alpha": ()}


def loha(name: str, inner: int, outer: int) -> Shapes:
    halves = ("hada_w1", "hada_w2")
    return {
        f"{name}.{half}_{end}": shape for half in halves for end, shape in (("a", (outer, RANK)), ("b", (RANK, inner)))
    }


def lokr(name: str, inner: int, outer: int) -> Shapes:
    return {f"{name}.lokr_w1": (8, 8), f"{name}.lokr_w2": (outer // 8, inner // 8), f"{name}.alpha": ()}


def lokr_low(name: str, inner: int, outer: int) -> Shapes:
    return {
        f"{name}.lokr_w1": (8, 8),
        f"{name}.lokr_w2_a": (outer // 8, RANK),
        f"{name}.lokr_w2_b": (RANK, inner // 8),
    }


def glora(name: str, inner: int, outer: int) -> Shapes:
    return {
        f"{name}.a1.weight": (inner, RANK),
        f"{name}.a2.weight": (RANK, inner),
        f"{name}.b1.weight": (outer, RANK),
        f"{name}.b2.weight": (RANK, inner),
    }


def oft(name: str, inner: int, outer: int) -> Shapes:
    return {f"{name}.oft_blocks": (8, outer // 8, outer // 8), f"{name}.alpha": ()}


def boft(name: str, inner: int, outer: int) -> Shapes:
    return {f"{name}.oft_blocks": (3, 8, outer // 8, outer // 8)}


def difference(name: str, inner: int, outer: int) -> Shapes:
    return {f"{name}.diff": (outer, inner)}


KOHYA = pair(".lora_down.weight", ".lora_up.weight", alpha)
PEFT = pair(".lora_A.weight", ".lora_B.weight")


class Format(NamedTuple):
    """A trainer's way to write a LoRA."""

    write: Writer
    prefix: str = ""
    dots: bool = True
    diffusers: bool = False
    lora_type: str = "lora"


FORMATS = {
    "kohya": Format(KOHYA, "lora_unet_", dots=False),
    "kohya_dora": Format(
        pair(".lora_down.weight", ".lora_up.weight", lambda n, i, o: {f"{n}.dora_scale": (o, 1)}),
        "lora_unet_",
        dots=False,
        lora_type="dora",
    ),
    "ai_toolkit": Format(PEFT, "diffusion_model."),
    "diffusion_pipe": Format(pair(".lora_down.weight", ".lora_up.weight"), "diffusion_model."),
    "bare": Format(PEFT),
    "lokr": Format(lokr, "lycoris_", dots=False, lora_type="lokr"),
    "lokr_low": Format(lokr_low, "lora_unet_", dots=False, lora_type="lokr"),
    "loha": Format(loha, "lora_unet_", dots=False, lora_type="loha"),
    "glora": Format(glora, "diffusion_model.", lora_type="glora"),
    "oft": Format(oft, "lora_unet_", dots=False, lora_type="oft"),
    "boft": Format(boft, "lora_unet_", dots=False, lora_type="oft"),
    "difference": Format(difference, "diffusion_model."),
    "peft": Format(PEFT, "transformer.", diffusers=True),
    "peft_base": Format(PEFT, "base_model.model.", diffusers=True),
    "peft_adapter": Format(pair(".lora_A.default.weight", ".lora_B.default.weight"), diffusers=True),
    "diffusers_dora": Format(
        pair(".lora_A.weight", ".lora_B.weight", lambda n, i, o: {f"{n}.lora_magnitude_vector": (o,)}),
        "transformer.",
        diffusers=True,
        lora_type="dora",
    ),
    "diffusers_old": Format(pair(".lora.down.weight", ".lora.up.weight"), "transformer.", diffusers=True),
    "onetrainer": Format(KOHYA, "lora_transformer_", dots=False, diffusers=True),
}
"""Trainer or kind → its format."""


def lora(model: Published, form: Format) -> Shapes:
    """The tensors of a LoRA on every layer of a model; empty where the format has other names than the model."""
    text = model.diffusers if form.diffusers else model.native
    unet = "attn2.to_" in text and "_block" in text and form.prefix in ("transformer.", "lora_transformer_")
    prefix = {"transformer.": "unet.", "lora_transformer_": "lora_unet_"}[form.prefix] if unet else form.prefix
    shapes: Shapes = {}
    for name, inner, outer in layers(text):
        if form.lora_type in ("lokr", "oft") and (inner % 8 or outer % 8):
            continue
        shapes |= form.write(prefix + (name if form.dots else name.replace(".", "_")), inner, outer)
    return shapes


def checkpoint(model: Published, prefix: str) -> Shapes:
    """The weights and biases of a whole model."""
    return {
        f"{prefix}{name}.{part}": shape
        for name, inner, outer in layers(model.native)
        for part, shape in (("weight", (outer, inner)), ("bias", (outer,)))
    }


def packed(shapes: Shapes, how: str) -> Shapes:
    """The tensors of a quantised file: `fp8`, `int8`, `nvfp4` (two values a byte), `nf4` (flat, two values a byte)."""
    found: Shapes = {}
    for key, shape in shapes.items():
        if not key.endswith(".weight"):
            found[key] = shape
            continue
        module, (rows, columns) = key.removesuffix(".weight"), shape
        if how == "fp8":
            found |= {key: shape, f"{module}.scale_weight": ()}
        elif how == "int8":
            found |= {key: shape, f"{module}.weight_scale": (rows, 1), f"{module}.comfy_quant": (40,)}
        elif how == "nvfp4":
            found |= {key: (rows, columns // 2), f"{module}.weight_scale": (rows, columns // 16)}
        else:
            found |= {key: (rows * columns // 2, 1), f"{module}.weight.absmax": (rows * columns // 64,)}
    return found
