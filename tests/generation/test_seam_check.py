"""Tiles that show in a decoded picture: another colour, or an edge; and pictures that only look like it."""

from __future__ import annotations

import torch
from torch.nn.functional import interpolate

from intelligence.generation.postprocess.seam_check import check_tiles

TILE = 128


def picture(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """A latent of smooth shapes, and a picture whose colours follow it with some texture."""
    noise = torch.Generator().manual_seed(seed)
    latent = interpolate(torch.randn(1, 4, 9, 9, generator=noise), (48, 48), mode="bicubic")
    factors = torch.randn(4, 3, generator=noise) * 0.08
    colours = torch.einsum("bchw,cr->bhwr", latent, factors) + 0.5
    large = interpolate(colours.permute(0, 3, 1, 2), (384, 384), mode="bicubic").permute(0, 2, 3, 1)
    return (large + 0.03 * torch.randn(large.shape, generator=noise)).clamp(0, 1), latent


def test_pictures_without_seams_have_no_note() -> None:
    for seed in range(8):
        assert check_tiles(*picture(seed), TILE) == ()


def test_a_tile_of_another_colour_is_told() -> None:
    image, latent = picture()
    image[0, 128:256, 128:256, 2] += 0.06
    (note,) = [each for each in check_tiles(image, latent, TILE) if "colour" in each]
    assert note.startswith("image 1")


def test_an_edge_along_a_border_is_told_and_one_elsewhere_is_not() -> None:
    image, latent = picture()
    edged, other = image.clone(), image.clone()
    edged[0, :, 126:128] += 0.3
    other[0, :, 70:72] += 0.3
    assert any("edge" in note for note in check_tiles(edged.clamp(0, 1), latent, TILE))
    assert not any("edge" in note for note in check_tiles(other.clamp(0, 1), latent, TILE))


def test_whole_pictures_and_films_are_not_checked() -> None:
    image, latent = picture()
    assert check_tiles(image, latent, 0) == ()
    assert check_tiles(image, latent[:, :, None], TILE) == ()
