"""Pictures that a user already has: how fast they are read, and what they are worth: python -m tests.benchmarks.history

Made pictures hold the metadata of real programs. They have few pixels: none is decoded, so that real ones take as long
but for what waits on the disk. With `--records DIR` (a folder of CivitAI's model records), LoRAs with at least 15
prompts are a library that knows nothing but file names: the user has made 10 pictures with each, and the rest of the
prompts, none of them nearly one of the ten, are asked for.
"""

from __future__ import annotations

import json
import os
import random
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from intelligence.history import PictureHistory
from intelligence.history.own_use import NamedModels
from intelligence.lora import LoRARecommender
from intelligence.lora.lora_library import library_of
from intelligence.models import ModelMetadata
from intelligence.pictures.a1111_text import UsedModel, a1111_text
from intelligence.pictures.exif import exif_bytes
from intelligence.prompt import PromptAnalyzer
from intelligence.prompt.words import words
from tests.benchmarks.civitai import DUPLICATE, IDS, SD1, CivitaiLoRA, load_records, overlap
from tests.benchmarks.corpus import Shelf
from tests.benchmarks.report import parser, report

Figures = dict[str, float | int]
WORDS = (
    *("fox", "girl", "castle", "snow", "river", "neon", "city", "forest", "dragon", "knight", "portrait", "sunset"),
    *("rain", "flower", "robot", "cat", "sea", "moon"),
)
MIN_PROMPTS, OWN_PICTURES = 15, 10
MAX_QUERIES = 4
"""Of one LoRA."""


def graph(prompt: str, loras: Sequence[tuple[str, float]], seed: int) -> dict[str, Any]:
    """A graph in ComfyUI's API format, as SaveImage writes it."""
    nodes: dict[str, Any] = {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sdxl/base.safetensors"}}
    }
    last = "1"
    for number, (name, strength) in enumerate(loras, start=10):
        inputs = {"lora_name": name, "strength_model": strength, "strength_clip": strength, "model": [last, 0]}
        nodes[str(number)] = {"class_type": "LoraLoader", "inputs": {**inputs, "clip": [last, 1]}}
        last = str(number)
    settings = {
        "seed": seed,
        "steps": 25,
        "cfg": 6.5,
        "sampler_name": "dpmpp_2m",
        "scheduler": "karras",
        "denoise": 1.0,
    }
    links = {"model": [last, 0], "positive": ["2", 0], "negative": ["3", 0], "latent_image": ["4", 0]}
    return nodes | {
        "2": {"class_type": "CLIPTextEncode", "inputs": {"text": prompt, "clip": [last, 1]}},
        "3": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry, low quality", "clip": [last, 1]}},
        "4": {"class_type": "EmptyLatentImage", "inputs": {"width": 832, "height": 1216, "batch_size": 1}},
        "5": {"class_type": "KSampler", "inputs": {**settings, **links}},
        "6": {"class_type": "VAEDecode", "inputs": {"samples": ["5", 0], "vae": ["1", 2]}},
        "7": {"class_type": "SaveImage", "inputs": {"images": ["6", 0], "filename_prefix": "ComfyUI"}},
    }


def workflow(rng: random.Random) -> str:
    """A workflow of the page's, some 20 KB."""
    node = {"type": "CLIPTextEncode", "pos": [100, 200], "size": [400, 200], "flags": {}, "mode": 0, "properties": {}}
    return json.dumps({"nodes": [{"id": number, **node, "order": rng.randint(0, 99)} for number in range(120)]})


def texts(kind: str, prompt: str, loras: Sequence[tuple[str, float]], seed: int, rng: random.Random) -> dict[str, str]:
    """The texts that one program writes into a picture."""
    if kind == "comfyui":
        return {"prompt": json.dumps(graph(prompt, loras, seed)), "workflow": workflow(rng)}
    if kind == "swarmui":
        found = {"prompt": prompt, "model": "sdxl/base", "seed": seed, "steps": 25, "cfgscale": 6.5, "sampler": "euler"}
        named = {"loras": [name for name, _ in loras], "loraweights": [str(weight) for _, weight in loras]}
        return {"parameters": json.dumps({"sui_image_params": found | named})}
    if kind == "fooocus":
        found = {"prompt": prompt, "base_model": "base", "seed": str(seed), "steps": 25, "guidance_scale": 6.5}
        return {"parameters": json.dumps({**found, "loras": [[name, weight, "0123456789"] for name, weight in loras]})}
    if kind == "invokeai":
        named = [{"model": {"name": name}, "weight": weight} for name, weight in loras]
        found = {"positive_prompt": prompt, "model": {"name": "base"}, "seed": seed, "steps": 25, "loras": named}
        return {"invokeai_metadata": json.dumps(found)}
    used = [UsedModel(name, weight=weight) for name, weight in loras]
    settings = {"Steps": 25, "Sampler": "DPM++ 2M", "CFG scale": 6.5, "Seed": seed, "Size": "832x1216", "Model": "base"}
    return {"parameters": a1111_text(prompt, "blurry", settings, loras=used)}


KINDS = (*["comfyui"] * 9, *["a1111"] * 6, "swarmui", "fooocus", "invokeai", "nothing", "hostile")


def write(path: Path, found: Mapping[str, str], made_at: float) -> None:
    """Write a picture of 8 × 8 pixels: texts into a PNG, A1111's into the EXIF of a JPEG or WebP."""
    picture = Image.new("RGB", (8, 8))
    if path.suffix == ".png":
        info = PngInfo()
        for name, text in found.items():
            info.add_text(name, text)
        picture.save(path, pnginfo=info)
    else:
        picture.save(path, exif=exif_bytes({}, found["parameters"]))
    os.utime(path, (made_at, made_at))


def hostile(path: Path, rng: random.Random) -> None:
    """Write a file that is no sound picture."""
    write(path, texts("a1111", "a fox", [], 1, rng), 0)
    data = path.read_bytes()
    path.write_bytes(rng.choice((data[: len(data) // 2], data[:8] + bytes(200), b"<html>", rng.randbytes(500))))


def make_pictures(folder: Path, count: int) -> None:
    rng = random.Random(0)
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        prompt = ", ".join(rng.choices(WORDS, k=25))
        loras = [(f"lora{rng.randint(1, 200)}", round(rng.uniform(0.3, 1.2), 2)) for _ in range(rng.randint(0, 3))]
        suffix = rng.choice((".png", ".png", ".jpg", ".webp")) if kind == "a1111" else ".png"
        path = folder / f"{number % 50:02}" / f"{number}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "hostile":
            hostile(path, rng)
        else:
            write(path, texts(kind, prompt, loras, number, rng) if kind != "nothing" else {}, 1.7e9 + 40 * number)


def speed(count: int) -> Figures:
    """Seconds of processor to read pictures, to see that nothing changed, and to use them."""
    with tempfile.TemporaryDirectory() as temporary:
        folder, database = Path(temporary, "output"), Path(temporary, "history.db")
        make_pictures(folder, count)
        history = PictureHistory(database)
        history.switch(True, [folder])
        cpu, report_ = timed(history.read)
        again, _ = timed(history.read)
        marks, pictures = timed(history.pictures)
        status = history.status()
        history.close()
        size = database.stat().st_size / 1e6
    return {
        "pictures": count,
        "read_cpu_s": round(cpu, 2),
        "read_cpu_s_per_10000": round(cpu / count * 10_000, 2),
        "read_again_cpu_s": round(again, 3),
        "told": status.told,
        "silent": status.silent,
        "skipped": report_.skipped,
        "marked_cpu_s": round(marks, 3),
        "with_a_signal": sum(picture.signal != 0 for picture in pictures),
        "db_mb": round(size, 1),
    }


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    started = time.process_time()
    found = call()
    return time.process_time() - started, found


@dataclass
class Owner:
    """A LoRA with the prompts that somebody used it with."""

    model: ModelMetadata
    own: list[tuple[str, float]]
    """(prompt, strength) of the pictures that the user made."""
    asked: list[tuple[str, float, bool]]
    """(prompt, strength, beside others) of those that come later."""


def owners(loras: Sequence[CivitaiLoRA]) -> list[Owner]:
    """The LoRAs with enough prompts, as a library knows them by their files alone."""
    found = []
    for lora in loras:
        uses = {
            image.prompt: (use.weight, len(image.uses) > 1)
            for image in lora.images
            for use in image.uses
            if use.record == lora.number and use.weight
        }
        if len(uses) < MIN_PROMPTS:
            continue
        prompts = list(uses)
        random.Random(lora.number).shuffle(prompts)
        own = [(prompt, float(uses[prompt][0] or 1)) for prompt in prompts[:OWN_PICTURES]]
        known = [frozenset(words(prompt)) for prompt, _ in own]
        later = [
            (prompt, float(uses[prompt][0] or 1), uses[prompt][1])
            for prompt in prompts[OWN_PICTURES:]
            if all(overlap(frozenset(words(prompt)), other) < DUPLICATE for other in known)
        ]
        model = lora.model
        bare = ModelMetadata(model.model_id, model.name, architecture=model.architecture, local_path=model.local_path)
        found.append(Owner(bare, own, later[:MAX_QUERIES]))
    return found


def worth(loras: Sequence[CivitaiLoRA]) -> Figures:
    """Places of the right LoRA and errors of strengths, without and with the user's own pictures."""
    known = owners(loras)
    shelf = Shelf([owner.model for owner in known])
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "output")
        folder.mkdir()
        rng, number = random.Random(0), 0
        for owner in known:
            for prompt, strength in owner.own:
                number += 1
                named = [(owner.model.name, strength)]
                kind = rng.choice(("comfyui", "a1111"))
                path = owner.model.model_id.partition(":")[2] if kind == "comfyui" else owner.model.name
                found = texts(kind, prompt, [(path, strength)] if kind == "comfyui" else named, number, rng)
                write(folder / f"{number}.png", found, 1.7e9 + 9000 * number)
        history = PictureHistory(Path(temporary, "history.db"))
        history.switch(True, [folder])
        history.read()
        figures: Figures = {"loras": len(known), "queries": sum(len(owner.asked) for owner in known)}
        figures["loras_with_examples"] = len(history.examples(shelf.models))
        assert NamedModels(shelf.models).id_of(known[0].model.name)
        for name, pictures in (("none", None), ("own", history)):
            recommender = LoRARecommender(Shelf(shelf.models), pictures=pictures)
            figures |= {f"{name}_{what}": value for what, value in asked(recommender, known).items()}
        history.close()
    figures["r1_gain"] = round(figures["own_r1"] - figures["none_r1"], 4)
    return figures


def asked(recommender: LoRARecommender, known: Sequence[Owner]) -> Figures:
    first, among, errors, applied, right = [], [], [], 0, 0
    analyzer, library = PromptAnalyzer(), library_of(recommender.registry, recommender.pictures)
    read = {model.model_id: model for model in library.read(library.models)}
    for owner in known:
        model = read[owner.model.model_id]
        for prompt, strength, stacked in owner.asked:
            analysis = analyzer.analyze(prompt)
            ranked = [one.lora_metadata.model_id for one in recommender.rank(analysis, SD1, 5)]
            first.append(ranked[:1] == [owner.model.model_id])
            among.append(owner.model.model_id in ranked)
            chosen = [one.lora_metadata.model_id for one in recommender.recommend(analysis, SD1)]
            applied += len(chosen)
            right += owner.model.model_id in chosen
            others, query = [(owner.model, 0.0)] if stacked else [], library.read_query(analysis)
            (usual,) = library.strengths.together([model], others, query)
            errors.append(abs(usual.value - strength))
    return {
        "r1": round(fmean(first), 4),
        "r5": round(fmean(among), 4),
        "applied": applied,
        "applied_right": right,
        "strength_error": round(fmean(errors), 4),
    }


def main() -> None:
    arguments = parser(__doc__ or "")
    arguments.add_argument("--count", type=int, default=10_000, help="made pictures; 0: none")
    arguments.add_argument("--records", help="folder of CivitAI model records")
    arguments.add_argument("--ids", choices=IDS, default="even", help="numbers of the records")
    options = arguments.parse_args()
    figures: Figures = speed(options.count) if options.count else {}
    if options.records:
        figures |= worth(load_records(options.records, options.ids))
    report({**figures}, options.json)


if __name__ == "__main__":
    main()
