"""Pictures that other programs read: python -m tests.benchmarks.metadata_readers --json

Three formats × prompts with unicode, quotes, commas, newlines and the words by which readers part a text × 0 to 5 LoRAs
with odd names and negative weights. Every reader that is installed (exiftool, sd-parsers, piexif, sd-prompt-reader),
and the rules of A1111 and of CivitAI, must tell the plan's prompts, settings, checkpoint and LoRAs. Nothing is sampled.

sd-prompt-reader 1.3.5 decodes EXIF in the wrong byte order first and gives up where that is no UTF-16, as with "Ü" and
"ß" in WebP and JPEG: for it the text stands as SwarmUI's record there, too. No way of writing the text itself helps: a
byte order mark becomes the prompt's first letter for it, for A1111 and for CivitAI, and little-endian is noise to
piexif and A1111.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from intelligence.config import OffloadStrategy
from intelligence.generation.image_file import save_image
from intelligence.generation.stages import Generation, GenerationPlan, Recommendations
from intelligence.lora import LoRARecommendation
from intelligence.memory import MemoryPlan
from intelligence.models import ModelEvidence, ModelKind, ModelMetadata
from intelligence.parameters import OptimizedParameters
from intelligence.pictures.embedded_texts import read_texts
from intelligence.pictures.picture_info import read_picture
from intelligence.prompt import PromptAnalysis
from tests.benchmarks.report import parser, report
from tests.pictures.witnesses import a1111, civitai

FORMATS = (".png", ".webp", ".jpg")

PROMPTS = (
    ("a red fox in the snow", "blurry"),
    ("日本の狐, 雪, ✨ sparkling Übergröße", "низкое качество, mauvaise qualité"),
    ('a sign that says "Open, 24: hours", (snow:1.2)', 'text "watermark"'),
    ("a fox, \\(series\\), <b>bold</b>, {a|b}, [x:y:0.5]", "worst quality, low quality, (bad:1.4)"),
    ("first line\nsecond line\n\nBREAK\nlast line", "one\ntwo"),
    ("Steps: 99, Sampler: Euler, CFG scale: 3, Seed: 9\na fox", "Steps: 1"),
    ("a fox\nSteps: 99, Sampler: Euler, CFG scale: 3, Seed: 9, Size: 8x8", ""),
    ("a fox\nNegative prompt: cats\ndogs", "Negative prompt: x"),
    ("a fox\nTemplate: a\nNegative Template: b", "blurry"),
    ("a fox, Hashes: {}, Model: other, Model hash: 0000000000", "Lora hashes: x"),
)

LORAS = (
    ("plain_name-1.5", 0.8),
    ("with space, comma (v2)", 0.65),
    ("a}b{c]d[e", -0.5),
    ("狐 ✨ style", 1.0),
    ('it"s Steps: 4, Seed: 1', -1.25),
)

HASHES = tuple(f"{number:012x}" for number in range(0xABCDEF012300, 0xABCDEF012300 + len(LORAS)))
CHECKPOINT, CHECKPOINT_HASH = "juggernaut.v9.rundiffusion", "1234abcdef"


@dataclass(frozen=True)
class Case:
    path: Path
    prompt: str
    negative: str
    loras: tuple[tuple[str, float], ...]
    settings: dict[str, str]


def cases(folder: Path, every: int = 1) -> Iterator[Case]:
    """Write the pictures, or each `every`-th of them, and yield each with what its plan says."""
    every_one = [(prompts, count, suffix) for prompts in PROMPTS for count in range(6) for suffix in FORMATS]
    for number, (prompts, count, suffix) in list(enumerate(every_one))[::every]:
        made = generation(*prompts, count, seed=number)
        image = Image.effect_noise((64, 96), 50).convert("RGB")
        path = save_image(
            folder / f"{number}{suffix}", image, made, comfy={"prompt": {"1": {}}, "workflow": {"id": "w"}}
        )
        settings = {
            "Steps": "20",
            "Sampler": "DPM++ 2M",
            "Schedule type": "Karras",
            "CFG scale": "6.5",
            "Seed": str(number),
            "Size": "64x96",
            "Model hash": CHECKPOINT_HASH,
            "Model": CHECKPOINT,
        }
        yield Case(path, *prompts, LORAS[:count], settings)


def generation(prompt: str, negative: str, loras: int, seed: int) -> Generation:
    chosen = [
        LoRARecommendation(
            name,
            ModelMetadata(f"lora:{name}", name, autov3=digest, source="civitai", source_id=f"1:{100 + number}"),
            1.0,
            strength,
        )
        for number, ((name, strength), digest) in enumerate(zip(LORAS[:loras], HASHES, strict=False))
    ]
    plan = GenerationPlan(
        Recommendations(
            PromptAnalysis(prompt, negative),
            chosen,
            OptimizedParameters(20, 6.5, 64, 96, "dpmpp_2m", "karras"),
            prompt=prompt,
            negative_prompt=negative,
            model=ModelEvidence(name=f"{CHECKPOINT}.safetensors"),
        ),
        MemoryPlan(OffloadStrategy.FULL_GPU, "cpu"),
    )
    checkpoint = ModelMetadata(
        f"checkpoint:{CHECKPOINT}", CHECKPOINT, kind=ModelKind.CHECKPOINT, autov2=CHECKPOINT_HASH
    )
    made = Generation("id", plan, ("id-0",), (seed,), f"{CHECKPOINT}.safetensors", "comfyui")
    return replace(made, base_model=checkpoint)


def words(text: str) -> str:
    return " ".join(text.split())


def wrong(case: Case, reader: str) -> list[str]:
    """Return the names of the fields that a reader tells otherwise than the plan."""
    return [name for name, (found, expected) in READERS[reader](case).items() if found != expected]


_ALIVE: list[Image.Image] = []

Fields = dict[str, tuple[Any, Any]]
"""Field → what the reader tells, and what the plan says."""


def _prompts(case: Case, positive: str, negative: str) -> Fields:
    tags = "".join(f" <lora:{name.replace(':', '')}:{weight:g}>" for name, weight in case.loras)
    return {
        "prompt": (words(positive), words(case.prompt + tags)),
        "negative": (words(negative), words(case.negative)),
    }


def _settings(case: Case, found: dict[str, Any]) -> Fields:
    return {name: (str(found.get(name)), value) for name, value in case.settings.items()}


def by_a1111(case: Case) -> Fields:
    found = a1111(read_texts(case.path)["parameters"])
    tags = {name.replace(":", ""): weight for name, weight in case.loras}
    hashes = [digest for digest in HASHES if digest in found.get("Lora hashes", "")]
    return {
        **_prompts(case, found["Prompt"], found["Negative prompt"]),
        **_settings(case, found),
        "loras": (found["loras"], tags),
        "hashes": (hashes, [*HASHES[: len(case.loras)]]),
    }


def by_civitai(case: Case) -> Fields:
    found = civitai(read_texts(case.path)["parameters"])
    hashes = {name: value for name, value in found["hashes"].items() if value != CHECKPOINT_HASH}
    named = {f"lora:{name}": digest for (name, _), digest in zip(case.loras, HASHES, strict=False)}
    weights = [(each["modelVersionId"], each["weight"]) for each in found["resources"]]
    return {
        **_prompts(case, found["prompt"], found["negative"]),
        **_settings(case, found),
        "checkpoint": (found["hashes"].get("model"), CHECKPOINT_HASH),
        "loras": ({name: hashes.get(name) for name in named}, named),
        "weights": (weights, [(100 + number, weight) for number, (_, weight) in enumerate(case.loras)]),
    }


def by_exiftool(case: Case) -> Fields:
    told = subprocess.check_output(["exiftool", "-json", "-b", case.path], stderr=subprocess.DEVNULL)
    (found,) = json.loads(told)
    text = found.get("Parameters") or found.get("UserComment")
    source = str(found.get("DigitalSourceType")).rpartition("/")[2]
    return {
        "text": (text, read_texts(case.path)["parameters"]),
        "source": (source, "trainedAlgorithmicMedia"),
        "size": ((found.get("ImageWidth"), found.get("ImageHeight")), (64, 96)),
    }


def by_sd_parsers(case: Case) -> Fields:
    from sd_parsers import ParserManager

    _ALIVE.append(Image.open(case.path))  # sd-parsers takes an image at the address of an earlier one for the same
    info = ParserManager().parse(_ALIVE[-1])
    (sampler,) = info.samplers
    found = {
        "Sampler": sampler.name,
        "Steps": sampler.parameters.get("steps"),
        "CFG scale": sampler.parameters.get("cfg_scale"),
        "Seed": sampler.parameters.get("seed"),
        "Schedule type": sampler.parameters.get("scheduler"),
        "Size": info.metadata.get("Size"),
        "Model": sampler.model.name,
        "Model hash": sampler.model.hash,
    }
    texts = [" ".join(prompt.value for prompt in each) for each in (info.prompts, info.negative_prompts)]
    return {**_prompts(case, *texts), **_settings(case, found)}


def by_piexif(case: Case) -> Fields:
    if case.path.suffix == ".png":
        return {}
    import piexif
    from piexif.helper import UserComment

    with Image.open(case.path) as image:
        exif = piexif.load(image.info["exif"])
    text = UserComment.load(exif["Exif"][piexif.ExifIFD.UserComment])
    return {"text": (text, read_texts(case.path)["parameters"])}


def by_sd_prompt_reader(case: Case) -> Fields:
    from sd_prompt_reader.image_data_reader import ImageDataReader

    found = ImageDataReader(case.path)
    names = {
        "Model": "model",
        "Sampler": "sampler",
        "Seed": "seed",
        "CFG scale": "cfg",
        "Steps": "steps",
        "Size": "size",
    }
    settings = {name: found.parameter.get(key) for name, key in names.items()}
    told = {name: (settings[name], case.settings[name]) for name in names}
    return {**_prompts(case, found.positive, found.negative), **told}


def by_show(case: Case) -> Fields:
    """Read by `python -m intelligence show`."""
    found = read_picture(case.path)
    return {
        "prompt": (found.prompt, case.prompt),
        "negative": (found.negative_prompt, case.negative),
        "model": (found.model, f"{CHECKPOINT}.safetensors"),
        "loras": (tuple((lora.name, lora.strength) for lora in found.loras), case.loras),
        "seed": (str(found.settings["seed"]), case.settings["Seed"]),
    }


READERS: dict[str, Callable[[Case], Fields]] = {
    "a1111": by_a1111,
    "civitai": by_civitai,
    "exiftool": by_exiftool,
    "sd_parsers": by_sd_parsers,
    "piexif": by_piexif,
    "sd_prompt_reader": by_sd_prompt_reader,
    "show": by_show,
}


def present(reader: str) -> bool:
    if reader == "exiftool":
        return shutil.which("exiftool") is not None
    return reader in ("a1111", "civitai", "show") or importlib.util.find_spec(reader) is not None


def main() -> None:
    options = parser(__doc__ or "").parse_args()
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        every_case = list(cases(Path(folder)))
        figures["pictures"] = len(every_case)
        for reader in READERS:
            if not present(reader):
                figures[f"{reader}_agrees"] = None
                continue
            faults = Counter[str]()
            agreeing = 0
            for case in every_case:
                names = _wrong_or_raised(case, reader)
                agreeing += not names
                faults.update(names)
            figures[f"{reader}_agrees"] = agreeing
            figures |= {f"{reader}_wrong_{name}": count for name, count in faults.items()}
    report(figures, options.json)


def _wrong_or_raised(case: Case, reader: str) -> list[str]:
    try:
        return wrong(case, reader)
    except Exception as error:  # noqa: BLE001  a reader that fails on our picture is a figure
        return [type(error).__name__]


if __name__ == "__main__":
    main()
