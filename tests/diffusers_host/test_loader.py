"""Base models by name: found, refused, and loaded offline."""

from __future__ import annotations

import json
import math
import shutil
import struct
import subprocess
import sys
import warnings
from itertools import accumulate, pairwise
from pathlib import Path

import pytest

from intelligence.errors import HubError, MissingDependencyError, ModelNotFoundError, UnsupportedModelError
from intelligence.generation.diffusers_host import DiffusersHost, resolve_base_model
from intelligence.generation.diffusers_host.loader import load_pipeline, parameter_counts
from intelligence.generation.embedded import ensure_embedded
from intelligence.generation.sdxl_config import clip_vocabulary, sdxl_config_folder
from intelligence.models import Architecture
from intelligence.prompt.clip_words import clip_merges

from ..comfyui import checkpoint, locate

UNET_SHAPES = """
import json, sys
sys.path.insert(0, sys.argv[1]); sys.path.insert(0, sys.argv[2])
import launcher
launcher.declare_torchvision_operators()
import comfy.options
comfy.options.enable_args_parsing()
sys.argv = ["comfy", "--cpu"]
import comfy.ops
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
unet = UNetModel(
    image_size=32, in_channels=4, model_channels=320, out_channels=4, num_res_blocks=[2, 2, 2], channel_mult=[1, 2, 4],
    transformer_depth=[0, 0, 2, 2, 10, 10], transformer_depth_middle=10,
    transformer_depth_output=[0, 0, 0, 2, 2, 2, 10, 10, 10], context_dim=2048, use_linear_in_transformer=True,
    num_classes="sequential", adm_in_channels=2816, num_head_channels=64, use_spatial_transformer=True, legacy=False,
    device="meta", operations=comfy.ops.disable_weight_init,
)
json.dump({name: list(tensor.shape) for name, tensor in unet.state_dict().items()}, sys.stdout)
"""


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty cache, and nobody who answers."""
    constants = pytest.importorskip("huggingface_hub.constants", reason="needs huggingface_hub")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")


def test_resolve_embedded(embedded_home: Path) -> None:
    model = resolve_base_model("embedded")
    assert (model.single_file, model.evidence.name) == (False, "embedded")
    assert model.evidence.architecture is Architecture.DEMO
    counts = parameter_counts(model)
    pipe = load_pipeline(model, "cpu")
    assert counts["unet"] == sum(parameter.numel() for parameter in pipe.unet.parameters())
    assert counts["vae"] == sum(parameter.numel() for parameter in pipe.vae.parameters())


def test_resolve_folder(embedded_home: Path) -> None:
    folder = ensure_embedded().folder
    model = resolve_base_model(str(folder))
    assert (model.single_file, model.path, model.evidence.name) == (False, folder, "model")


def test_resolve_folder_prediction(embedded_home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "vpred"
    shutil.copytree(ensure_embedded().folder, folder)
    path = folder / "scheduler" / "scheduler_config.json"
    path.write_text(
        json.dumps({**json.loads(path.read_text()), "prediction_type": "v_prediction", "rescale_betas_zero_snr": True})
    )
    evidence = resolve_base_model(str(folder)).evidence
    assert (evidence.prediction, evidence.sigma_max) == ("v_prediction", 4518.8)


@pytest.mark.parametrize(
    ("name", "on_hub"),
    [
        ("stabilityai/sdxl-base-1.0", True),
        ("someone/some-model", True),
        ("no such model", False),
        ("gone.safetensors", False),
    ],
)
def test_resolve_missing_model_names_remedies(no_hub: None, name: str, on_hub: bool) -> None:
    """A download only of what a hub may have."""
    with pytest.raises(ModelNotFoundError) as caught:
        resolve_base_model(name)
    for remedy in (".safetensors file or diffusers folder", "'embedded'"):
        assert remedy in str(caught.value)
    for download in ("--allow-downloads", "allow_downloads=True"):
        assert (download in str(caught.value)) is on_hub


def test_resolve_from_unreachable_hub(no_hub: None) -> None:
    with pytest.raises(HubError, match="someone/some-model"):
        resolve_base_model("someone/some-model", allow_downloads=True)


def test_host_resolves_on_first_use(no_hub: None) -> None:
    host = DiffusersHost("someone/some-model")
    with pytest.raises(ModelNotFoundError):
        host.evidence()


@pytest.mark.parametrize("name", ["model.ckpt", "model.pt", "folder/model.PTH", "model.bin"])
def test_resolve_refuses_pickles(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"\x80\x02.")
    with pytest.raises(UnsupportedModelError, match="pickled"):
        resolve_base_model(str(path))


@pytest.mark.parametrize("content", [b"", b"\x80\x02.", b"PK\x03\x04", b"\xff" * 64, b"\x08\0\0\0\0\0\0\0{}      x"])
def test_resolve_names_corrupt_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.safetensors"
    path.write_bytes(content)
    with pytest.raises(UnsupportedModelError, match="broken"):
        resolve_base_model(str(path))


def test_resolve_refuses_file_of_other_kind(standalone: None, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    path = tmp_path / "sd15.safetensors"
    key = "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight"
    save_file({key: torch.zeros(640, 768)}, path)
    with pytest.raises(UnsupportedModelError, match=r"SD 1\.5"):
        resolve_base_model(str(path))


def test_resolve_refuses_folder_without_model(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError, match="not a diffusers folder"):
        resolve_base_model(str(tmp_path))
    (tmp_path / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    (tmp_path / "scheduler").mkdir()
    (tmp_path / "scheduler" / "scheduler_config.json").write_text("{}")
    with pytest.raises(UnsupportedModelError, match="FluxPipeline"):
        resolve_base_model(str(tmp_path))


def test_load_pipeline_names_precision_as_this_diffusers_does(embedded_home: Path) -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        load_pipeline(resolve_base_model("embedded"), "cpu")
    assert [str(each.message) for each in told if "dtype" in str(each.message)] == []


def test_load_pipeline_refuses_corrupt_weights(embedded_home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(ensure_embedded().folder, folder)
    (weights,) = (folder / "unet").glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(UnsupportedModelError, match="broken"):
        load_pipeline(resolve_base_model(str(folder)), "cpu")


@pytest.mark.parametrize("library", ["torch", "diffusers", "peft"])
def test_require_standalone_names_missing_library(
    embedded_home: Path, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    model = resolve_base_model("embedded")
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingDependencyError, match=rf"{library}.*pip install .\.\[standalone\]"):
        load_pipeline(model, "cpu")


def test_sdxl_config_folder_is_sdxl(embedded_home: Path) -> None:
    """The parameter counts of SDXL 1.0, on the meta device, so that nothing is allocated."""
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    folder = sdxl_config_folder()
    with torch.device("meta"):
        parts = {
            "unet": UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(folder / "unet")),
            "vae": AutoencoderKL.from_config(AutoencoderKL.load_config(folder / "vae")),
            "text_encoder": CLIPTextModel(CLIPTextConfig.from_pretrained(folder / "text_encoder")),
            "text_encoder_2": CLIPTextModelWithProjection(CLIPTextConfig.from_pretrained(folder / "text_encoder_2")),
        }
    assert {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()} == {
        "unet": 2_567_463_684,
        "vae": 83_653_863,
        "text_encoder": 123_060_480,
        "text_encoder_2": 694_659_840,
    }


def test_clip_vocabulary_follows_from_merges() -> None:
    vocabulary = clip_vocabulary(clip_merges())
    assert len(vocabulary) == 49408
    assert [vocabulary[token] for token in ("!", "a</w>", "cat</w>", "<|startoftext|>", "<|endoftext|>")] == [
        0,
        320,
        2368,
        49406,
        49407,
    ]


@pytest.fixture(scope="module")
def sdxl_shapes(installation: locate.Installation) -> dict[str, tuple[int, ...]]:
    """Every tensor of an SDXL checkpoint; the UNet's as ComfyUI's own model has them."""
    run = subprocess.run(
        [installation.python, "-c", UNET_SHAPES, installation.path, Path(locate.__file__).parent],
        capture_output=True,
        text=True,
        cwd=installation.path,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    others = [(name, shape) for name, shape in checkpoint.shapes() if not name.startswith("model.diffusion_model.")]
    unet = {f"model.diffusion_model.{name}": tuple(shape) for name, shape in json.loads(run.stdout).items()}
    return {**unet, **dict(others)}


def _write_sparse(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """A sound safetensors file of half-precision zeros that takes no room on disk."""
    ends = list(accumulate((2 * math.prod(shape) for shape in shapes.values()), initial=0))
    header = json.dumps(
        {
            name: {"dtype": "F16", "shape": shape, "data_offsets": span}
            for (name, shape), span in zip(shapes.items(), pairwise(ends), strict=True)
        }
    ).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + ends[-1])


@pytest.mark.parametrize("v_prediction", [False, True])
def test_load_pipeline_of_single_file_offline(
    embedded_home: Path, sdxl_shapes: dict[str, tuple[int, ...]], tmp_path: Path, v_prediction: bool
) -> None:
    path = tmp_path / "full.safetensors"
    _write_sparse(path, sdxl_shapes | ({"v_pred": (0,), "ztsnr": (0,)} if v_prediction else {}))
    model = resolve_base_model(str(path))
    assert (model.single_file, model.evidence.architecture) == (True, Architecture.SDXL)
    assert model.evidence.prediction == ("v_prediction" if v_prediction else "epsilon")
    assert model.evidence.sigma_max == pytest.approx(4518.8 if v_prediction else 14.6146, abs=1e-3)
    assert parameter_counts(model)["unet"] == 2_567_463_684

    pipe = load_pipeline(model, "cuda")  # half precision, as the file is; nothing is moved to a GPU
    assert sum(parameter.numel() for parameter in pipe.unet.parameters()) == 2_567_463_684
    assert sum(parameter.numel() for parameter in pipe.text_encoder_2.parameters()) == 694_659_840
    for part in (pipe.unet, pipe.vae, pipe.text_encoder, pipe.text_encoder_2):
        assert not any(parameter.is_meta for parameter in part.parameters())
    assert pipe.scheduler.config.prediction_type == model.evidence.prediction
    assert len(pipe.tokenizer.get_vocab()) == 49408


def test_clip_vocabulary_equals_comfyui(installation: locate.Installation) -> None:
    theirs = installation.path / "comfy" / "sd1_tokenizer"
    assert clip_vocabulary(clip_merges()) == json.loads((theirs / "vocab.json").read_text(encoding="utf-8"))
    assert clip_merges() == (theirs / "merges.txt").read_text(encoding="utf-8").splitlines()[1:]
