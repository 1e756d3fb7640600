"""The toy world of learning from stars, in few seeds; `python -m tests.benchmarks.learning_simulation` plays 60."""

import statistics

from tests.benchmarks.learning_toy import Learner, Popularity, play

SEEDS = range(6)


def test_stars_beat_popularity_and_never_lose_at_first():
    learned, popular = ([play(policy, seed) for seed in SEEDS] for policy in (Learner, Popularity))
    regrets = [statistics.mean(one.regret for one in each) for each in (learned, popular)]
    assert regrets[0] < 0.5 * regrets[1]
    assert min(one.first_lead for one in learned) > -1
