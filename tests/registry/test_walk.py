"""Folders full of links, walked as ComfyUI lists them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from intelligence.models import ModelKind
from intelligence.registry.walk import walk

NAMES = ("a", "b", "c")

trees = st.dictionaries(
    st.lists(st.sampled_from(NAMES), max_size=2).map(tuple),
    st.dictionaries(
        st.sampled_from(("l", "m")), st.lists(st.sampled_from((*NAMES, "..")), max_size=2).map(tuple), max_size=1
    ),
    min_size=1,
    max_size=3,
)
"""Folder (its parts) → name of a link in it → the parts of the folder that it leads to, from the root."""


def names_through_links(root: Path) -> set[str]:
    """Return the model files that `os.walk(root, followlinks=True)` lists, as ComfyUI 0.33 does, without loops."""
    found = set()
    pending: list[tuple[Path, frozenset[str]]] = [(root, frozenset())]
    while pending:
        folder, above = pending.pop()
        if (real := os.path.realpath(folder)) in above:
            continue
        for entry in folder.iterdir():
            if entry.is_dir():
                pending.append((entry, above | {real}))
            elif entry.suffix == ".safetensors":
                found.add(entry.relative_to(root).as_posix())
    return found


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tree=trees)
def test_walk_lists_every_name_once_through_links(tree: dict[tuple[str, ...], dict[str, tuple[str, ...]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "models" / "loras"
        for parts in tree:
            root.joinpath(*parts).mkdir(parents=True, exist_ok=True)
            root.joinpath(*parts, f"{'_'.join(parts)}.safetensors").write_bytes(b"x")
        for parts, links in tree.items():
            for name, target in links.items():
                root.joinpath(*parts, name).symlink_to(root.joinpath(*target), target_is_directory=True)
        outside = Path(folder) / "outside" / "deep"
        outside.mkdir(parents=True)
        (outside / "shared.safetensors").write_bytes(b"x")
        (root / "shared").symlink_to(outside.parent)
        found = walk({ModelKind.LORA: [root]})
        names = {model_id.removeprefix("lora:") for model_id in found.files}
        listed = names_through_links(root)
        assert names <= listed
        assert names == listed or any("one of over" in reason for reason in found.problems.values())
        assert "shared/deep/shared.safetensors" in names
        assert all(Path(file.path).is_file() for file in found.files.values())
