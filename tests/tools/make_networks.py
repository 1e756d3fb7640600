"""Writes intelligence/models/networks.json anew: `python -m tests.tools.make_networks` (a minute).

Needs a ComfyUI checkout, whose classes are made on the meta device by `print_networks`.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from math import prod
from pathlib import Path
from typing import Any

from intelligence.models.networks import TABLE, bare_module, block_of, template, underscored
from tests.comfyui import locate

PRINTER = Path(locate.__file__).with_name("print_networks.py")

Renames = tuple[tuple[str, dict[str, int | None]], ...]
"""(pattern of a module, replacement → its output rows; None: all, a negative number: the rest after so many)."""


def _thirds(hidden: int, *names: str) -> dict[str, int | None]:
    return dict.fromkeys(names, hidden)


def _flux2(hidden: int) -> Renames:
    block, single = r"^double_blocks\.(\d+)\.", r"^single_blocks\.(\d+)\."
    to, one = r"transformer_blocks.\1.", r"single_transformer_blocks.\1."
    return (
        (block + r"img_attn\.qkv$", _thirds(hidden, *(f"{to}attn.to_{each}" for each in "qkv"))),
        (block + r"txt_attn\.qkv$", _thirds(hidden, *(f"{to}attn.add_{each}_proj" for each in "qkv"))),
        (block + r"img_attn\.proj$", {f"{to}attn.to_out.0": None}),
        (block + r"txt_attn\.proj$", {f"{to}attn.to_add_out": None}),
        (block + r"img_mlp\.0$", {f"{to}ff.linear_in": None}),
        (block + r"img_mlp\.2$", {f"{to}ff.linear_out": None}),
        (block + r"txt_mlp\.0$", {f"{to}ff_context.linear_in": None}),
        (block + r"txt_mlp\.2$", {f"{to}ff_context.linear_out": None}),
        (single + r"linear1$", {f"{one}attn.to_qkv_mlp_proj": None}),
        (single + r"linear2$", {f"{one}attn.to_out": None}),
        (r"^(double_stream_modulation_\w+|single_stream_modulation)\.lin$", {r"\1.linear": None}),
        (r"^txt_in$", {"context_embedder": None}),
        (r"^img_in$", {"x_embedder": None}),
    )


def _hunyuan(hidden: int) -> Renames:
    block, single = r"^double_blocks\.(\d+)\.", r"^single_blocks\.(\d+)\."
    to, one = r"transformer_blocks.\1.", r"single_transformer_blocks.\1."
    parts = _thirds(hidden, *(f"{one}attn.to_{each}" for each in "qkv"))
    own = r"double_blocks.\1.\2_attn_\3"
    return (
        (block + r"(img|txt)_attn\.(qkv|proj)$", {own: None}),
        (block + r"img_attn\.qkv$", _thirds(hidden, *(f"{to}attn.to_{each}" for each in "qkv"))),
        (block + r"txt_attn\.qkv$", _thirds(hidden, *(f"{to}attn.add_{each}_proj" for each in "qkv"))),
        (block + r"img_attn\.proj$", {f"{to}attn.to_out.0": None}),
        (block + r"txt_attn\.proj$", {f"{to}attn.to_add_out": None}),
        (block + r"img_mlp\.0$", {f"{to}ff.net.0.proj": None, r"double_blocks.\1.img_mlp.fc1": None}),
        (block + r"img_mlp\.2$", {f"{to}ff.net.2": None, r"double_blocks.\1.img_mlp.fc2": None}),
        (block + r"txt_mlp\.0$", {f"{to}ff_context.net.0.proj": None, r"double_blocks.\1.txt_mlp.fc1": None}),
        (block + r"txt_mlp\.2$", {f"{to}ff_context.net.2": None, r"double_blocks.\1.txt_mlp.fc2": None}),
        (block + r"img_mod\.lin$", {f"{to}norm1.linear": None, r"double_blocks.\1.img_mod.linear": None}),
        (block + r"txt_mod\.lin$", {f"{to}norm1_context.linear": None, r"double_blocks.\1.txt_mod.linear": None}),
        (single + r"linear1$", {**parts, f"{one}proj_mlp": -3 * hidden}),
        (single + r"linear2$", {f"{one}proj_out": None}),
        (single + r"modulation\.lin$", {f"{one}norm.linear": None, r"single_blocks.\1.modulation.linear": None}),
        (r"^(txt_in\.individual_token_refiner\.blocks\.\d+)\.self_attn\.(qkv|proj)$", {r"\1.self_attn_\2": None}),
        (r"^(txt_in\.individual_token_refiner\.blocks\.\d+)\.mlp\.0$", {r"\1.mlp.fc1": None}),
        (r"^(txt_in\.individual_token_refiner\.blocks\.\d+)\.mlp\.2$", {r"\1.mlp.fc2": None}),
    )


_WAN: Renames = (
    (r"^(blocks\.\d+)\.self_attn\.([qkv])$", {r"\1.attn1.to_\2": None}),
    (r"^(blocks\.\d+)\.self_attn\.o$", {r"\1.attn1.to_out.0": None}),
    (r"^(blocks\.\d+)\.cross_attn\.([qkv])$", {r"\1.attn2.to_\2": None}),
    (r"^(blocks\.\d+)\.cross_attn\.o$", {r"\1.attn2.to_out.0": None}),
    (r"^(blocks\.\d+)\.cross_attn\.([kv])_img$", {r"\1.attn2.add_\2_proj": None}),
    (r"^(blocks\.\d+)\.ffn\.0$", {r"\1.ffn.net.0.proj": None}),
    (r"^(blocks\.\d+)\.ffn\.2$", {r"\1.ffn.net.2": None}),
)
_COSMOS: Renames = (
    (r"^blocks\.(\d+)\.self_attn\.([qkv])_proj$", {r"transformer_blocks.\1.attn1.to_\2": None}),
    (r"^blocks\.(\d+)\.self_attn\.output_proj$", {r"transformer_blocks.\1.attn1.to_out.0": None}),
    (r"^blocks\.(\d+)\.cross_attn\.([qkv])_proj$", {r"transformer_blocks.\1.attn2.to_\2": None}),
    (r"^blocks\.(\d+)\.cross_attn\.output_proj$", {r"transformer_blocks.\1.attn2.to_out.0": None}),
    (r"^blocks\.(\d+)\.mlp\.layer1$", {r"transformer_blocks.\1.ff.net.0.proj": None}),
    (r"^blocks\.(\d+)\.mlp\.layer2$", {r"transformer_blocks.\1.ff.net.2": None}),
)
_LUMINA: Renames = (
    (
        r"^((?:layers|noise_refiner|context_refiner)\.\d+)\.attention\.qkv$",
        {r"\1.attn.to_q": 2304, r"\1.attn.to_k": 768, r"\1.attn.to_v": 768},
    ),
    (r"^((?:layers|noise_refiner|context_refiner)\.\d+)\.attention\.out$", {r"\1.attn.to_out.0": None}),
    (
        r"^((?:layers|noise_refiner|context_refiner)\.\d+)\.feed_forward\.w([123])$",
        {r"\1.feed_forward.linear_\2": None},
    ),
    (r"^((?:layers|noise_refiner)\.\d+)\.adaLN_modulation\.1$", {r"\1.norm1.linear": None}),
)
_COG: Renames = ((r"^blocks\.(\d+)\.(.+)$", {r"transformer_blocks.\1.\2": None}),)
_HIDREAM: Renames = ((r"^(double|single)_stream_blocks\.(\d+)\.block\.(.+)$", {r"\1_stream_blocks.\2.\3": None}),)

DIFFUSERS_NAMES: dict[str, Renames] = {
    "flux2_dev": _flux2(6144),
    "flux2_klein_9b": _flux2(4096),
    "flux2_klein_4b": _flux2(3072),
    "hunyuan_video": _hunyuan(3072),
    "hunyuan_image": _hunyuan(3584),
    "hunyuan_video_15": _hunyuan(2048),
    **dict.fromkeys(("wan_14b", "wan_14b_i2v", "wan_1_3b", "wan_5b"), _WAN),
    **dict.fromkeys(("anima", "cosmos_predict2", "cosmos_predict2_14b"), _COSMOS),
    "lumina2": _LUMINA,
    "cogvideox": _COG,
    "hidream": _HIDREAM,
}
"""Names of diffusers and of the models' own repositories where ComfyUI's key maps lack them."""


def main() -> None:
    installation = locate.installation(locate.checkout())
    with tempfile.TemporaryDirectory() as home:
        command = [str(installation.python), str(PRINTER), str(installation.path), home]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
    table = {"networks": {name: network(name, described) for name, described in json.loads(printed).items()}}
    table["networks"] |= kolors(table["networks"]["sdxl"])
    TABLE.write_text(compact(table["networks"]), encoding="utf-8")


def network(name: str, described: dict[str, Any]) -> dict[str, Any]:
    """The entry of a network."""
    prefix = "diffusion_model."
    originals = {
        key.removeprefix(prefix).removesuffix(".weight"): flat(shape)
        for key, shape in described["tensors"].items()
        if not key.endswith(".bias")
    }
    modules: dict[str, set[tuple[int, ...]]] = {}
    blocks: dict[str, int] = {}
    for called, shape in {**originals, **mapped(described), **renamed(name, originals)}.items():
        bare = bare_module(called)
        modules.setdefault(template(bare), set()).add(shape)
        if block := block_of(bare):
            blocks[block[0]] = max(blocks.get(block[0], 0), block[1] + 1)
    dotted = {underscored(module) for module in modules if "." in module}
    modules = {module: shapes for module, shapes in modules.items() if "." in module or module not in dotted}
    entries = {module: sorted(map(list, shapes)) for module, shapes in sorted(modules.items())}
    return {"architecture": described["architecture"], "blocks": blocks, "modules": entries}


def mapped(described: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """The names by which ComfyUI loads a LoRA's modules, but those that a map has for other variants."""
    found = {}
    for called, target in described["names"].items():
        shape = list(described["tensors"].get(target[0], ()))
        if shape and not called.endswith(".bias"):
            if len(target) > 1 and target[1]:
                axis, _, length = target[1]
                shape[axis] = length
            found[called.removesuffix(".weight")] = flat(shape)
    return found


def renamed(name: str, originals: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """The names of `DIFFUSERS_NAMES`."""
    found = {}
    for pattern, names in DIFFUSERS_NAMES.get(name, ()):
        for key, shape in originals.items():
            for new, rows in names.items() if re.match(pattern, key) else ():
                kept = shape[0] if rows is None else shape[0] + rows if rows < 0 else rows
                found[re.sub(pattern, new, key)] = (kept, *shape[1:])
    return found


def flat(shape: list[int]) -> tuple[int, ...]:
    """(rows, values a row), or (values,) of a vector."""
    return tuple(shape) if len(shape) < 2 else (shape[0], prod(shape[1:]))


def kolors(sdxl: dict[str, Any]) -> dict[str, Any]:
    """Kolors, which ComfyUI has no class for: SDXL's UNet with a projection of ChatGLM3's hidden states
    [HF Kwai-Kolors/Kolors-diffusers unet/config.json]."""
    modules = {**sdxl["modules"], "encoder_hid_proj": [[2048, 4096]]}
    for name in ("add_embedding.linear_1", "label_emb.0.0"):
        modules[name] = [[1280, 5632]]
    return {"kolors": {**sdxl, "architecture": "kolors", "modules": modules}}


def compact(networks: dict[str, Any]) -> str:
    """JSON of one line a network."""
    lines = (f"{json.dumps(name)}: {json.dumps(entry, separators=(',', ':'))}" for name, entry in networks.items())
    return '{"networks": {\n' + ",\n".join(lines) + "\n}}\n"


if __name__ == "__main__":
    main()
