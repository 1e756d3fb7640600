"""The pool of loaded models."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intelligence.errors import InvalidInputError
from intelligence.memory import EvictionPolicy, ModelPool


@pytest.mark.parametrize(("policy", "gone"), [(EvictionPolicy.LRU, "b"), ("lfu", "c"), (EvictionPolicy.SIZE, "a")])
def test_pool_evicts_by_policy(policy, gone):
    pool = ModelPool(6, policy)
    for key, size in (("a", 3), ("b", 1), ("c", 2)):
        pool.put(key, key, size)
    for key in ("b", "b", "a", "a", "c"):
        pool.get(key, lambda: pytest.fail("is there"))
    pool.put("d", "d", 1)
    assert gone not in pool
    assert {"a", "b", "c", "d"} - {gone} == {key for key in "abcd" if key in pool}


def test_get_returns_oversized_model_without_keeping_it():
    pool = ModelPool(2)
    pool.put("small", 1, 1)
    assert pool.get("big", lambda: "BIG", 3) == "BIG"
    assert "big" not in pool
    assert "small" in pool


def test_get_makes_room_before_loading():
    pool = ModelPool(2)
    pool.put("old", 1, 2)
    assert pool.get("new", lambda: "old" in pool, 1) is False


def test_get_keeps_nothing_of_failed_load():
    pool = ModelPool(2)

    def fail():
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        pool.get("x", fail, 1)
    assert len(pool) == 0
    assert pool.get("x", lambda: 5, 1) == 5


def test_evict_clear_and_replace():
    pool = ModelPool(2)
    assert pool.put("a", 1, 1)
    assert pool.put("a", 2, 2)
    assert (len(pool), pool.size_gb, pool.get("a", int)) == (1, 2, 2)
    assert pool.evict("a")
    assert not pool.evict("a")
    pool.put("b", 1, 1)
    pool.clear()
    assert len(pool) == pool.size_gb == 0


def test_put_measures_modules():
    import torch

    pool = ModelPool(1)
    pool.get("layer", lambda: torch.nn.Linear(1024, 1024, bias=False))
    assert pool.size_gb == 4 / 1024


@pytest.mark.parametrize("size", [-1, float("nan"), "1", None])
def test_put_needs_size(size):
    with pytest.raises(InvalidInputError, match="size_gb"):
        ModelPool(1).put("x", object(), size)


@pytest.mark.parametrize(("size", "policy"), [(0, "lru"), (-1, "lru"), (True, "lru"), ("1", "lru"), (1, "fifo")])
def test_pool_refuses_wrong_arguments(size, policy):
    with pytest.raises(InvalidInputError, match=r"max_size_gb|eviction_policy"):
        ModelPool(size, policy)


def test_get_loads_key_once_across_threads():
    pool, loads, start = ModelPool(10), [], threading.Barrier(8)

    def work():
        start.wait()
        for key in range(5):
            pool.get(key, lambda key=key: loads.append(key), 1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(loads) == [0, 1, 2, 3, 4]


@given(st.sampled_from(EvictionPolicy), st.lists(st.tuples(st.integers(0, 6), st.floats(0, 4)), max_size=40))
def test_pool_keeps_limit_and_last_model(policy, jobs):
    pool = ModelPool(5, policy)
    for key, size in jobs:
        assert pool.put(key, key, size)
        assert pool.size_gb <= 5
        assert key in pool


def test_use_keeps_model_in_pool():
    pool = ModelPool(2)
    with pool.use("a", lambda: "A", 2) as model:
        assert model == "A"
        assert pool.get("b", lambda: "B", 1) == "B"
        assert ("a" in pool, "b" in pool) == (True, False)
        assert not pool.evict("a")
        pool.clear()
        with pool.use("a", lambda: pytest.fail("is there")):
            pass
        assert not pool.evict("a")
    assert pool.get("b", lambda: "B", 1) == "B"
    assert ("a" in pool, "b" in pool) == (False, True)


def test_use_releases_after_error():
    pool = ModelPool(2)
    with pytest.raises(OSError, match="stop"), pool.use("a", lambda: "A", 2):
        raise OSError("stop")
    assert pool.evict("a")


@pytest.mark.parametrize("policy", EvictionPolicy)
def test_pool_leaves_nothing_behind(policy):
    import gc
    import weakref

    import torch

    pool = ModelPool(3 / 1024, policy)
    made = []

    def load():
        layer = torch.nn.Linear(512, 512, bias=False)  # 1 MiB
        made.append(weakref.ref(layer))
        return layer

    for key in range(100):
        with pool.use(key, load, 1 / 1024) as layer:
            assert layer.weight.shape == (512, 512)
        del layer
        assert pool.size_gb <= 3 / 1024
    gc.collect()
    assert sum(ref() is not None for ref in made) == len(pool) == 3
    pool.clear()
    assert all(ref() is None for ref in made)


@given(
    st.sampled_from(EvictionPolicy),
    st.lists(st.tuples(st.integers(0, 6), st.floats(0, 4), st.booleans()), max_size=40),
)
def test_use_prevents_eviction(policy, jobs):
    from contextlib import ExitStack

    pool = ModelPool(5, policy)
    held = {}
    with ExitStack() as stack:
        for key, size, pin in jobs:
            before = {name: pool.get(name, lambda: pytest.fail("was put out")) for name in held}
            assert before == held
            if pin:
                model = stack.enter_context(pool.use(key, lambda key=key: key, size))
                held |= {key: model} if key in pool else {}
            else:
                pool.get(key, lambda key=key: key, size)
            assert pool.size_gb <= 5


def first_to_go(policy, kept):
    """By the words of `EvictionPolicy`; `kept`: (key, size, uses, used at)."""
    order = {
        EvictionPolicy.LRU: lambda entry: entry[3],
        EvictionPolicy.LFU: lambda entry: (entry[2], entry[3]),
        EvictionPolicy.SIZE: lambda entry: (-entry[1], entry[3]),
    }
    return min(kept, key=order[policy])[0]


@given(
    st.sampled_from(EvictionPolicy),
    st.lists(st.tuples(st.integers(0, 7), st.integers(1, 5), st.booleans()), max_size=60),
)
def test_pool_follows_policy_in_any_order(policy, jobs):
    """Beside a list that is kept by hand. Keys that are pinned stay so to the end."""
    from contextlib import ExitStack

    pool, kept, pinned = ModelPool(8, policy), [], set()
    with ExitStack() as stack:
        for now, (key, size, pin) in enumerate(jobs):
            known = next((entry for entry in kept if entry[0] == key), None)
            if known is not None:
                kept[kept.index(known)] = (key, known[1], known[2] + 1, now)
            elif sum(entry[1] for entry in kept if entry[0] in pinned) + size <= 8:
                while sum(entry[1] for entry in kept) + size > 8:
                    gone = first_to_go(policy, [entry for entry in kept if entry[0] not in pinned])
                    kept = [entry for entry in kept if entry[0] != gone]
                kept.append((key, size, 1, now))
            if pin:
                stack.enter_context(pool.use(key, lambda key=key: key, size))
                pinned |= {key} & {entry[0] for entry in kept}
            else:
                pool.get(key, lambda key=key: key, size)
            assert {entry[0] for entry in kept} == {name for name in range(8) if name in pool}
