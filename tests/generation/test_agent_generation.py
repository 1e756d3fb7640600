"""Pictures that agents make: sampled, saved, listed, explained and rated through their functions."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from intelligence import InvalidInputError
from intelligence.agents.agent_tools import AgentTools, Right


def test_generate_saves_what_the_other_functions_tell(embedded_home: Path, tmp_path: Path) -> None:
    tools = AgentTools(frozenset(Right), "embedded", tmp_path / "pictures")
    made = tools.generate("a lake at dusk", "blurry", seed=5)
    path = Path(made["path"])
    assert (path, made["seed"]) == (tmp_path / "pictures" / "5.png", 5)
    again = Path(tools.generate("a lake at dusk", "blurry", seed=5)["path"])
    assert again != path
    assert Image.open(again).tobytes() == Image.open(path).tobytes()
    told = tools.explain_picture(str(path))
    assert (told["image_ids"], told["seeds"]) == ([made["id"]], [5])
    assert tools.rate(str(path), 5)["rating"] == 5
    (rated,) = [each for each in tools.recent_generations()["generations"] if made["id"] in each["image_ids"]]
    assert list(rated["ratings"]) == [5]


def test_generate_needs_the_right(embedded_home: Path) -> None:
    assert "generate" not in {function.__name__ for function in AgentTools(frozenset({Right.RATE})).offered()}
    with pytest.raises(InvalidInputError, match="seed"):
        AgentTools(frozenset(Right), "embedded").generate("a lake", seed=-1)
