"""Upscale models by name, and the choice for a kind of picture."""

import pytest

from intelligence.parameters.upscalers import Pictures, choose_upscaler, pictures_of
from intelligence.prompt import ArtisticStyle

LIBRARY = ["1x_JPEG_00-20.pth", "4x-UltraSharp.pth", "4x_NMKD-Superscale.pth", "RealESRGAN_x4plus_anime_6B.pth"]


@pytest.mark.parametrize(
    ("file", "pictures"),
    [
        ("sub/4x-UltraSharp.pth", Pictures.ANY),
        ("RealESRGAN_x4plus.safetensors", Pictures.ANY),
        ("RealESRGAN_x4plus_anime_6B.pth", Pictures.ANIME),
        ("2x-AnimeSharpV2_RPLKSR.pth", Pictures.ANIME),
        ("4x_foolhardy_Remacri.pth", Pictures.ANY),
        ("4x-PurePhoto-span.pth", Pictures.PHOTO),
        ("4xHFA2k.pth", Pictures.ANIME),
        ("2x-HFA2SwinIR-S.pth", Pictures.ANIME),
        ("2x-sudo-RealESRGAN.pth", Pictures.ANIME),
        ("4x-BSRGAN.pth", Pictures.ANY),
        ("2x-NomosUni-compact-multijpg.pth", None),
        ("4x-SwinIR-M-Pretrain.pth", None),
        ("4xNomos8kSC.pth", Pictures.PHOTO),
        ("4xNomosUniDAT_otf.pth", Pictures.ANY),
        ("4x_NMKD-Siax_200k.pth", Pictures.PHOTO),
        ("1x_JPEG_00-20.pth", None),
        ("4xTextures_GTAV.pth", None),
    ],
)
def test_pictures_of(file: str, pictures: Pictures | None) -> None:
    assert pictures_of(file) is pictures


@pytest.mark.parametrize(
    ("files", "style", "chosen"),
    [
        (LIBRARY, ArtisticStyle.ANIME, "RealESRGAN_x4plus_anime_6B.pth"),
        (LIBRARY, ArtisticStyle.PHOTOREALISTIC, "4x_NMKD-Superscale.pth"),
        (LIBRARY, ArtisticStyle.UNSPECIFIED, "4x-UltraSharp.pth"),
        (LIBRARY[:2], ArtisticStyle.ANIME, "4x-UltraSharp.pth"),
        (LIBRARY[2:3], ArtisticStyle.ANIME, "latent"),
        (LIBRARY[:1], ArtisticStyle.PHOTOREALISTIC, "latent"),
        ([], None, "latent"),
    ],
)
def test_choose_upscaler(files: list[str], style: ArtisticStyle | None, chosen: str) -> None:
    assert choose_upscaler(files, style) == chosen
