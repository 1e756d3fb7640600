"""Measures what learning from stars gains, on invented users: python -m tests.benchmarks.learning_simulation --json

toy_*      the toy world (learning_toy.py), `--seeds` seeds: regret of the value model, of what is popular, of LinUCB;
           share of seeds whose first 20 picks are worse than without learning, at all and by a star in the sum; with a
           prior that says nothing, a taste that turns, stars that say nothing
cfg_*      users who are given variations of cfg on one prompt in five: ratings until at most 5.5 is chosen for one who
           gives 5 stars at 4 and 2 at 7 (`mild`: 4 and 3); share of users to whom cfg is all the same and whose cfg
           moves by more than 1
mine_N_*   `--records DIR`: libraries of N real records with even numbers, users with a hidden taste (learning_world),
           `LoRARecommender.choose` with its default preferences, 200 ratings. `ratio`: regret over regret without
           learning; `bound`: of a clairvoyant who may only leave out LoRAs that the choice applies; `share`: of the
           gain that the bound allows; `worse`: share of users whose pictures are worse after all ratings, `worst` in
           stars over 200 pictures; `lost`: share of LoRAs that a user likes, that the choice applies, and that ratings
           keep out; `displaced`: the same for those that make room for others; `pairs_gain`: in the user's order after
           30 ratings, over the order without learning. `vK_`: with a variation on one prompt in K, which is rated too
           and does not count in the regret; `noisy_`: one star in ten says nothing, and luck of the seed is 1.1
acts_*     the users of mine_20, who give no stars, and take LoRAs out that seem worse than nothing: `share` of the gain
           in what is suggested that leaving out what they dislike allows; `worse`, `worst`, `lost`: as above
gain_P_*   users of whose prompts P in 100 are chosen for without learning, 200 ratings: `covers`: share of users whose
           true gain lies in the interval that is told; `reach`: half of that interval, in stars; `known`: share of
           users whose interval does not hold 0
count_*    one-stars until a LoRA that is applied goes, five-stars until one that is not comes; see `counts`;
           `drop_after_fours`: share of those applied that a one-star drops after two four-stars; `leak`: share of other
           LoRAs' prompts on which one that is liked on its own is newly applied; see `leaks`
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from intelligence.learning import Preferences
from intelligence.learning.observations import LoRATraits, Settings
from intelligence.learning.preferences import PictureRating, traits_of
from intelligence.models import ModelEvidence
from intelligence.parameters import ParameterOptimizer, ParameterRequest
from intelligence.prompt import PromptAnalyzer
from tests.benchmarks.civitai import CivitaiLoRA, load_records, tag_queries
from tests.benchmarks.learning_acts import compare, edit
from tests.benchmarks.learning_toy import Learner, LinUCB, Policy, Popularity, World, play
from tests.benchmarks.learning_world import SEED_LUCK, History, User, counts, dropped_after, leaks, make_pool
from tests.benchmarks.learning_world import play as rate
from tests.benchmarks.report import parser, report

Figures = dict[str, float | int | str | bool | None]

WORLDS: dict[str, dict[str, bool | float]] = {
    "": {},
    "useless_": {"useless": True},
    "drift_": {"drift": True},
    "random10_": {"random_share": 0.1},
    "random20_": {"random_share": 0.2},
}
POLICIES: dict[str, Callable[[World], Policy]] = {"popularity": Popularity, "linucb": LinUCB}
PARTS = ("toy", "cfg", "gain", "mine_20", "mine_200", "acts", "count")
MIN_PROMPTS = 5
"""Of each LoRA of a library of 20."""


def toy(seeds: int) -> Figures:
    """Return the figures of the toy world."""
    figures: Figures = {"toy_seeds": seeds}
    for name, make in POLICIES.items():
        figures[f"toy_{name}_regret"] = _mean(play(make, seed).regret for seed in range(seeds))
    for prefix, world in WORLDS.items():
        played = [play(Learner, seed, **world) for seed in range(seeds)]
        figures[f"toy_{prefix}regret"] = _mean(one.regret for one in played)
        if not world:
            figures["toy_first20_worse"] = _mean(one.first_lead < -1e-9 for one in played)
            figures["toy_first20_worse_by_a_star"] = _mean(one.first_lead < -1 for one in played)
    return figures


class Habits(NamedTuple):
    """Users of one kind. `variations`: see `rate`; `random_share`, `seed_luck`: see `User`."""

    variations: int = 0
    random_share: float = 0.0
    seed_luck: float = SEED_LUCK


USERS = {"": Habits(), "noisy_": Habits(0, 0.1, 1.1), "v5_": Habits(5), "v2_": Habits(2)}


def mine(loras: Sequence[CivitaiLoRA], size: int, users: int) -> Figures:
    """Return the figures of users with libraries of `size` LoRAs."""
    histories: dict[str, list[History]] = {name: [] for name in USERS}
    for seed in range(users):
        library = draw(loras, size, seed)
        pool, models = make_pool(library, seed), [lora.model for lora in library]
        for name, (variations, *luck) in USERS.items():
            histories[name].append(rate(User(models, seed, *luck), pool, 200, seed, variations))
    figures: Figures = {}
    for name, each in histories.items():
        figures |= _figures(f"mine_{size}_{name}", each)
    return figures


def acts(loras: Sequence[CivitaiLoRA], users: int) -> Figures:
    """Return the figures of users who edit suggestions."""
    found = []
    for seed in range(users):
        library = draw(loras, 20, seed)
        found.append(edit(User([lora.model for lora in library], seed), make_pool(library, seed), 200, seed))
    liked = sum(one.liked for one in found)
    return {
        "acts_users": users,
        "acts_share": sum(one.gain for one in found) / sum(one.bound for one in found),
        "acts_worse": _mean(one.late_gain < -1e-9 for one in found),
        "acts_worst": 200 * min(one.late_gain for one in found),
        "acts_liked": liked,
        "acts_lost": sum(one.lost for one in found) / max(1, liked),
    }


def gain(users: int) -> Figures:
    """Return the figures of what is told of the gain."""
    figures: Figures = {}
    for percent in (10, 20, 50):
        compared = [compare(seed, percent / 100) for seed in range(users)]
        told = [(truth, one) for truth, one in compared if one is not None]
        figures |= {
            f"gain_{percent}_users": len(told),
            f"gain_{percent}_covers": _mean(one.low <= truth <= one.high for truth, one in told),
            f"gain_{percent}_reach": _mean((one.high - one.low) / 2 for _, one in told),
            f"gain_{percent}_known": _mean(one.known for _, one in told),
        }
    return figures


def draw(loras: Sequence[CivitaiLoRA], size: int, seed: int) -> list[CivitaiLoRA]:
    """Return a library; a small one of LoRAs with several prompts, so that a pool of them comes together."""
    rich = [lora for lora in loras if size > 50 or len(tag_queries([lora], MIN_PROMPTS)) == MIN_PROMPTS]
    return random.Random(seed).sample(rich, size)


def _figures(prefix: str, histories: Sequence[History]) -> Figures:
    regret, plain, bound = (sum(getattr(one, name) for one in histories) for name in History._fields[:3])
    liked = sum(one.liked for one in histories)
    found: Figures = {
        "users": len(histories),
        "ratio": regret / plain,
        "bound": bound / plain,
        "share": (plain - regret) / (plain - bound),
        "worse": _mean(one.late_gain < -1e-9 for one in histories),
        "worst": 200 * min(one.late_gain for one in histories),
        "early_worse_by_a_star": _mean(one.early_gain < -1 for one in histories),
        "changed": _mean(one.changed for one in histories),
        "liked": liked,
        "lost": sum(one.lost for one in histories) / max(1, liked),
        "displaced": sum(one.displaced for one in histories) / max(1, liked),
        "pairs_gain": _mean(one.pairs - one.plain_pairs for one in histories),
    }
    return {prefix + name: value for name, value in found.items()}


def settings(users: int) -> Figures:
    """Return the figures of users who rate pictures of several cfg."""
    figures: Figures = {}
    for name, (best, usual) in {"strong": (5.0, 2.0), "mild": (4.0, 3.0), "indifferent": (3.5, 3.5)}.items():
        paths = [_cfg_path(best, usual, seed) for seed in range(users)]
        reached = [next((at + 1 for at, cfg in enumerate(path) if cfg <= 5.5), len(path) + 1) for path in paths]
        figures[f"cfg_{name}_ratings_p90"] = float(np.quantile(reached, 0.9, method="higher"))
        figures[f"cfg_{name}_moved"] = _mean(abs(path[-1] - 7) > 1 for path in paths)
    return figures


def _cfg_path(best: float, usual: float, seed: int, ratings: int = 40) -> list[float]:
    """Return the cfg chosen after each rating. Args: best, usual: true stars of cfg 4 and cfg 7."""
    rng, pictures, path = np.random.default_rng(seed), list[PictureRating](), list[float]()
    prompts = [PromptAnalyzer().analyze(f"anime girl number {number} in a forest") for number in range(ratings)]
    sdxl = ModelEvidence(name="sd_xl_base_1.0.safetensors")
    number, ratings_given = 0, Preferences()
    while len(path) < ratings:
        prompt = prompts[number]
        ratings_given = Preferences(pictures, before=ratings_given)
        model = ratings_given.model(lambda lora: LoRATraits(), "none")
        optimizer = ParameterOptimizer(taste=lambda known=model: known)
        chosen = optimizer.choose(ParameterRequest(prompt, model=sdxl))
        cfg, family = chosen.guidance_scale, chosen.family.value
        tried = [cfg]
        number += 1
        if number % 5 == 0:
            tried += [float(value) for value in rng.permutation(np.arange(4, 11))[:3]]
        luck = rng.normal(0, 0.35)
        for value in tried:
            true = best - (best - usual) * _lost_at(value) / _lost_at(7.0) + luck
            stars = int(np.clip(np.rint(true + rng.normal(0, 0.7)), 1, 5))
            pictures.append(PictureRating(traits_of(prompt), (), stars, settings=Settings(family, cfg=value)))
            path.append(cfg)
    return path


def _lost_at(cfg: float) -> float:
    """Return the share of what is lost far away from the best cfg, 4."""
    return 1 - math.exp(-(((cfg - 4) / 2.1) ** 2) / 2)


def until(loras: Sequence[CivitaiLoRA], libraries: int) -> Figures:
    """Return the figures of single LoRAs."""
    pools = [make_pool(draw(loras, 20, seed), seed, 30) for seed in range(libraries)]
    every = [one for pool in pools for one in counts(pool)]
    dropped = [one for one in every if one.stars == 1]
    sure = [one for one in dropped if one.relevance >= 0.95]
    figures: Figures = {"count_applied": len(dropped), "count_sure": len(sure)}
    for name, found in (("count_drop", dropped), ("count_drop_sure", sure)):
        if found:
            figures[f"{name}_p90"] = float(np.quantile([one.ratings for one in found], 0.9, method="higher"))
            figures[f"{name}_most"] = max(one.ratings for one in found)
            figures[f"{name}_by_one"] = _mean(one.ratings == 1 for one in found)
    leaked, asked = np.sum([leaks(pool) for pool in pools], axis=0).tolist()
    after_fours, rated = np.sum([dropped_after(pool, (4, 4, 1)) for pool in pools], axis=0).tolist()
    figures["count_drop_after_fours"] = after_fours / max(1, rated)
    figures |= {"count_leak": leaked / max(1, asked), "count_leak_asked": asked}
    for name, least in (("10", 0.1), ("02", 0.02)):
        taken = [one.ratings for one in every if one.stars == 5 and one.relevance >= least]
        if taken:
            figures[f"count_take_{name}"] = len(taken)
            figures[f"count_take_{name}_p90"] = float(np.quantile(taken, 0.9, method="higher"))
            figures[f"count_take_{name}_never"] = _mean(one > 8 for one in taken)
    return figures


def _mean(values: object) -> float:
    return float(np.mean(list(values)))  # type: ignore[call-overload]


def main() -> None:
    """Print the figures."""
    arguments = parser(__doc__ or "")
    arguments.add_argument("--seeds", type=int, default=60)
    arguments.add_argument("--users", type=int, default=30)
    arguments.add_argument("--records", type=Path)
    arguments.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="some need --records")
    options = arguments.parse_args()
    figures: Figures = {}
    loras = load_records(options.records, "even") if options.records else []
    for part in options.parts:
        if part == "toy":
            figures |= toy(options.seeds)
        elif part == "cfg":
            figures |= settings(options.users)
        elif part == "gain":
            figures |= gain(options.users)
        elif loras and part == "count":
            figures |= until(loras, max(1, options.users // 5))
        elif loras and part == "acts":
            figures |= acts(loras, options.users)
        elif loras:
            figures |= mine(loras, int(part.removeprefix("mine_")), options.users)
    report(figures, options.json)


if __name__ == "__main__":
    main()
