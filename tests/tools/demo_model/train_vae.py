"""Training of the demo model's VAE, and the latents of its pictures.

    python -m tests.tools.demo_model.train_vae --steps 1000
    python -m tests.tools.demo_model.train_vae --decoder --steps 1600   # afterwards; latents stay as they are

Latents are noised by a fixed deviation while the decoder learns, so that it forgives errors of the UNet.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from intelligence.generation import embedded_weights as shape

from . import effects, networks
from .pictures import BASE_STYLES, CONCEPTS, Pictures, load, sheet
from .runs import Run, parser_of, path_of

BATCH = 16
CROP = 64
NOISE = 0.1
"""Deviation of the noise on latents of deviation 1."""
WHOLE_FROM = 0.85
"""Share of the time after which whole pictures are trained: their norms see other grounds than those of crops."""


def encode(vae: Any, pictures: torch.Tensor) -> torch.Tensor:
    """Return mean latents, unscaled, of (n, 3, h, w) in -1 to 1."""
    moments = vae.quant_conv(vae.encoder(pictures))
    return moments[:, : shape.LATENT_CHANNELS]


def decode(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """Return pictures of unscaled latents."""
    decoded: torch.Tensor = vae.decoder(vae.post_quant_conv(latents))
    return decoded


def as_tensor(pictures: np.ndarray) -> torch.Tensor:
    """Return (n, 3, h, w) in -1 to 1 of (n, h, w, 3) bytes."""
    return torch.from_numpy(np.array(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def picture_loss(made: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Return squared and absolute errors, and those of hues and mean colours: without these, everything turns brown."""
    error = made - wanted
    hues = (error - error.mean(dim=1, keepdim=True)).square().mean()
    colours = functional.avg_pool2d(error, 8).square().mean()
    return error.square().mean() + 0.3 * error.abs().mean() + 2 * hues + 2 * colours


class Batches:
    """Random crops of all pictures but the held-out ones; with effects: a fifth of them as LoRAs will draw them."""

    def __init__(self, pictures: Pictures, with_effects: bool) -> None:
        self._with_effects = with_effects
        self._values = pictures.values
        self._concepts = len(pictures.concepts) - len(pictures.held_out)

    def __call__(self, generator: torch.Generator, whole: bool) -> torch.Tensor:
        def number(below: int) -> int:
            return int(torch.randint(below, (), generator=generator))

        rows = []
        for _ in range(BATCH // 4 if whole else BATCH):
            # Half of them from what the model will draw.
            concept = number(CONCEPTS if number(2) else self._concepts)
            picture = self._values[concept, number(self._values.shape[1])]
            if self._with_effects and not number(5):
                effect = list(effects.EFFECTS.values())[number(len(effects.EFFECTS))]
                picture = effect(np.array(self._values[concept, 0]))
            if not whole:
                top, left = (number(networks.SIDE - CROP + 1) for _ in range(2))
                picture = picture[top : top + CROP, left : left + CROP]
            rows.append(picture[:, ::-1] if number(2) else picture)
        return as_tensor(np.stack(rows)).contiguous(memory_format=torch.channels_last)


def figures(vae: Any, pictures: Pictures, latent_noise: float = 0.0) -> dict[str, float]:
    """Return PSNR in dB and the error of mean colours of 8x8 cells (0 to 1) on held-out pictures."""
    chosen = pictures.values[pictures.held_out[::4]].reshape(-1, networks.SIDE, networks.SIDE, 3)
    wanted = as_tensor(chosen)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        parts = []
        for part in wanted.split(20):
            latents = encode(vae, part)
            noise = torch.randn(latents.shape, generator=generator) * latent_noise
            parts.append(decode(vae, latents + noise).clamp(-1, 1))
        made = torch.cat(parts)
    errors = ((made - wanted) / 2).square().mean(dim=(1, 2, 3))
    cells = (functional.avg_pool2d(made, 8) - functional.avg_pool2d(wanted, 8)).abs().mean() / 2
    return {"psnr": float((-10 * errors.log10()).mean()), "colour_error": float(cells)}


def watch(vae: Any, pictures: Pictures) -> None:
    """Print figures and write `vae.png`: held-out pictures over what the VAE makes of them."""
    print("vae:", {name: round(value, 4) for name, value in figures(vae, pictures).items()}, flush=True)
    shown = pictures.values[pictures.held_out[:8]].reshape(-1, networks.SIDE, networks.SIDE, 3)
    with torch.no_grad():
        made = decode(vae, encode(vae, as_tensor(shown))).clamp(-1, 1)
    bytes_made = as_bytes(made)
    pairs = np.concatenate([np.concatenate([shown[i : i + 16], bytes_made[i : i + 16]]) for i in (0, 16)])
    sheet(pairs, 16).save(path_of("vae.png"))


def train(limits: argparse.Namespace) -> None:
    """Train the VAE, or its decoder alone on fixed latents, and write `vae_weights.pt`."""
    torch.manual_seed(1)
    decoder_only: bool = limits.decoder
    pictures, vae = load(), networks.vae().to(memory_format=torch.channels_last)
    batches = Batches(pictures, with_effects=decoder_only)
    if decoder_only:
        vae.load_state_dict(torch.load(path_of("vae_weights.pt"), weights_only=True))
        vae.encoder.requires_grad_(False)
        vae.quant_conv.requires_grad_(False)
        vae.post_quant_conv.requires_grad_(False)
    run = Run(
        "vae_decoder" if decoder_only else "vae", {"vae": vae}, rate=7e-4 if decoder_only else 1.5e-3, decay=0.995
    )
    deviation = NOISE / shape.LATENT_SCALE if decoder_only else NOISE

    def loss_of(generator: torch.Generator, progress: float) -> torch.Tensor:
        wanted = batches(generator, progress > WHOLE_FROM)
        with torch.set_grad_enabled(not decoder_only):
            latents = encode(vae, wanted)
        noised = latents + torch.randn(latents.shape, generator=generator) * deviation
        loss = picture_loss(decode(vae, noised), wanted)
        if decoder_only:
            return loss
        by_channel = latents.transpose(0, 1).flatten(1)
        spread = by_channel.mean(1).square().mean() + (by_channel.std(1) - 1).square().mean()
        return loss + 0.02 * spread

    run.train(limits, loss_of, lambda: watch(vae, pictures))
    run.use_average()
    if not decoder_only:
        fold_scale(vae, pictures)
    watch(vae, pictures)
    torch.save(vae.state_dict(), path_of("vae_weights.pt"))


def fold_scale(vae: Any, pictures: Pictures) -> None:
    """Fold the latents' mean and deviation into the outer convolutions, so that scaled by 0.13025 they are 0 and 1.

    Log variances become those of the noise that the decoder was trained with.
    """
    channels = shape.LATENT_CHANNELS
    latents = latents_of(vae, pictures.values[:CONCEPTS, : len(BASE_STYLES)]).transpose(0, 1).flatten(1)
    mean, deviation = latents.mean(1), latents.std(1) * shape.LATENT_SCALE
    with torch.no_grad():
        vae.quant_conv.weight[:channels] /= deviation.view(-1, 1, 1, 1)
        vae.quant_conv.bias[:channels] = (vae.quant_conv.bias[:channels] - mean) / deviation
        vae.quant_conv.weight[channels:] = 0
        vae.quant_conv.bias[channels:] = 2 * float(np.log(NOISE / shape.LATENT_SCALE))
        vae.post_quant_conv.bias += (vae.post_quant_conv.weight[..., 0, 0] @ mean.view(-1, 1)).flatten()
        vae.post_quant_conv.weight *= deviation.view(1, -1, 1, 1)


def as_bytes(pictures: torch.Tensor) -> np.ndarray:
    """Return (n, h, w, 3) bytes of (n, 3, h, w) in -1 to 1."""
    made: np.ndarray = ((pictures + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    return made


def latents_of(vae: Any, pictures: np.ndarray) -> torch.Tensor:
    """Return mean latents, unscaled, of (…, h, w, 3) bytes; all but the last three axes become one."""
    flat = as_tensor(pictures.reshape(-1, *pictures.shape[-3:]))
    with torch.no_grad():
        return torch.cat([encode(vae, part) for part in flat.split(20)])


def load_vae() -> Any:
    """Return the trained VAE."""
    vae = networks.vae()
    vae.load_state_dict(torch.load(path_of("vae_weights.pt"), weights_only=True))
    return vae


if __name__ == "__main__":
    torch.set_num_threads(1)
    parser = parser_of(__doc__, steps=1000)
    parser.add_argument("--decoder", action="store_true", help="train the decoder alone, on fixed latents")
    train(parser.parse_args())
