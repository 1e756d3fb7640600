"""Packing of the demo model: what comes back of weights, rows of unknown words, and cards of all LoRAs."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import save_file  # noqa: E402

from intelligence.generation import embedded_weights as shape  # noqa: E402
from intelligence.generation.embedded import DATA  # noqa: E402

from . import evaluate, pack_model, restore, train_speed  # noqa: E402
from .train_loras import LESSONS  # noqa: E402


def round_trip(tensors: dict, ids: list[int], folder: Path) -> dict:
    file = folder / "packed.safetensors"
    save_file(pack_model.packed({"part": tensors}, torch.tensor(ids)), file)
    return shape.unpack(file)["part"]


@pytest.mark.parametrize("size", [(128, 128), (96, 32, 3, 3)])
def test_pack_errs_by_half_a_step_of_each_row(size: tuple[int, ...], tmp_path: Path) -> None:
    torch.manual_seed(0)
    weight = torch.randn(size) * torch.logspace(-3, 1, size[0]).view(-1, *[1] * (len(size) - 1))
    file_size = sum(part.nbytes for part in pack_model.pack("weight", weight).values())
    assert file_size < 1.1 * weight.numel()
    error = (round_trip({"weight": weight}, [0], tmp_path)["weight"] - weight).abs().flatten(1).amax(1)
    most = weight.abs().flatten(1).amax(1)
    assert (error <= most / 127 / 2 * 1.01 + most * 2**-10).all()
    assert (error > 0).any()


def test_pack_keeps_row_of_zeros_and_small_tensors(tmp_path: Path) -> None:
    weight, bias = torch.ones(256, 64), torch.linspace(-2, 2, 128)
    weight[5] = 0
    found = round_trip({"weight": weight, "bias": bias}, [0], tmp_path)
    assert torch.equal(found["weight"].float(), weight)
    assert torch.equal(found["bias"], bias.half())


def test_unpack_gives_unknown_tokens_the_mean_of_their_rows(tmp_path: Path) -> None:
    torch.manual_seed(1)
    rows = torch.randn(shape.VOCABULARY, 64)
    known = [3, 1000, shape.VOCABULARY - 1]
    found = round_trip({shape.TOKEN_ROWS: rows}, known, tmp_path)[shape.TOKEN_ROWS].float()
    assert found.shape == rows.shape
    assert (found[known] - rows[known]).abs().max() < 0.02
    others = [number for number in range(shape.VOCABULARY) if number not in known]
    assert (found[others] == found[others[0]]).all()
    assert (found[others[0]] - rows[others].mean(0)).abs().max() < 0.001


def test_every_trained_lora_has_a_card() -> None:
    assert pack_model.CARDS.keys() == {*LESSONS, train_speed.NAME}
    for card in pack_model.CARDS.values():
        best, least, most = card.strengths
        assert least <= best <= most


def test_shipped_weights_are_put_back_for_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMO_TRAINING", str(tmp_path))
    restore.restore()
    shipped = shape.unpack(DATA / "demo_model.safetensors")
    for component, tensors in pack_model.trained(evaluate.Model(average=False)).items():
        assert all(torch.equal(tensor, shipped[component][name].float()) for name, tensor in tensors.items())
    with pytest.raises(FileExistsError):
        restore.restore()
