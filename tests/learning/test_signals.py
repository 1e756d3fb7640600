"""Acts beside stars: noticed in stored generations, told by hosts, taken back, and weaker than a star."""

import pytest

from intelligence.learning import LearningEngine
from intelligence.learning.look_effects import USUAL as USUAL_LOOK
from intelligence.learning.observations import Applied, Evidence, LoRATraits, PromptTraits
from intelligence.learning.signals import WORTH, edits, is_reroll
from intelligence.learning.value_model import ValueModel
from intelligence.pictures.look import Look

FOX, OWL, BAT = (f"lora:{name}.safetensors" for name in ("fox", "owl", "bat"))
ENGINE_TRAITS = (lambda lora: LoRATraits(), 1)


def offer(lora, strength=0.8, confidence=0.7, **more):
    return {"lora": lora, "strength": strength, "confidence": confidence, **more}


def made(used, offered=(), prompt="a fox", cfg=7.0, reasons=(), **more):
    """JSON of a generation with LoRAs at strengths."""
    loras = [
        {"lora_metadata": {"model_id": lora}, "suggested_alpha": strength, "relevance": 0.7}
        for lora, strength in used.items()
    ]
    parameters = {"family": "sdxl", "guidance_scale": cfg, "num_steps": 20, "reasons": list(reasons)}
    stage = {
        "prompt_analysis": {"prompt": prompt},
        "prompt": prompt,
        "suggested_loras": loras,
        "offered": list(offered),
        "suggested_params": parameters,
    }
    return {"plan": {"recommendations": stage}, "seeds": [1], **more}


class Store:
    """A learning store with a clock of its own."""

    def __init__(self, path, monkeypatch):
        self.engine, self.now, self.number = LearningEngine(path / "learning.db"), 1_700_000_000_000, 0
        for module in ("store", "signal_store"):
            monkeypatch.setattr(f"intelligence.learning.{module}._now", lambda: self.now)

    def make(self, used, images=1, run="", **more):
        """Store a generation; returns its id."""
        self.number += 1
        name = f"g{self.number}"
        data = made(used, run_id=run, **{"seeds": [self.number], **more})
        ids = [f"{name}-{image}" for image in range(images)]
        self.engine.record_generation(name, ids, data, loras=[*used], strengths=[*used.values()], run_id=run)
        self.engine.signals.note_made(name, data)
        return name

    def rate_something(self):
        name = self.make({}, prompt="something else")
        self.engine.record_feedback(name, 3)
        return name

    def kinds(self):
        return [(one.kind, one.subject) for one in reversed(self.engine.signals.shown())]

    def shift(self, lora):
        model = self.engine.preferences().model(*ENGINE_TRAITS)
        return float(model.utilities(PromptTraits("another"), [Applied.judged(lora, 0.7)]).shift[0])


@pytest.fixture
def store(tmp_path, monkeypatch):
    store = Store(tmp_path, monkeypatch)
    yield store
    store.engine.close()


@pytest.mark.parametrize(
    ("used", "offered", "expected"),
    [
        ({FOX: 0.8}, [offer(FOX)], [(Evidence.KEPT, FOX, 0)]),
        ({}, [offer(OWL), offer(FOX)], [(Evidence.REMOVED, OWL, 0), (Evidence.REMOVED, FOX, 1)]),
        ({FOX: 0.5}, [offer(FOX)], [(Evidence.REWEIGHTED, FOX, 0)]),
        ({OWL: 0.8}, [offer(OWL, suggested=False)], [(Evidence.ADDED, OWL, 0)]),
        ({BAT: 1.0}, [offer(FOX, suggested=False)], [(Evidence.ADDED, BAT, 1)]),
        ({FOX: 0.8}, [offer(FOX, named=True)], []),
        ({FOX: 0.8}, [], []),
    ],
    ids=["kept", "removed", "reweighted", "added", "added unlisted", "named", "nothing offered"],
)
def test_edits_of_loras(used, offered, expected):
    assert [(one.evidence, one.subject, one.slot) for one in edits(made(used, offered))] == expected


def test_edits_of_settings_are_those_of_the_user():
    reasons = [
        {"setting": "cfg", "source": "user", "otherwise": "7"},
        {"setting": "size", "source": "user", "otherwise": "832x1216"},
        {"setting": "steps", "source": "budget", "otherwise": "30"},
        {"setting": "sampler", "source": "user", "otherwise": None},
    ]
    found = [(one.subject, one.offered) for one in edits(made({}, reasons=reasons))]
    assert found == [("cfg", 7.0), ("size", (832, 1216))]


@pytest.mark.parametrize("data", [{}, {"plan": None}, {"plan": {"recommendations": {}}}])
def test_edits_of_a_bare_record(data):
    assert edits(data) == []


@pytest.mark.parametrize(
    ("before", "pause", "expected"),
    [
        ({}, 10, True),
        ({}, 0.5, False),
        ({}, 7200, False),
        ({"seeds": [2]}, 10, False),
        ({"prompt": "an owl"}, 10, False),
        ({"cfg": 4.0}, 10, False),
        ({"run_id": "r"}, 10, False),
        ({"prompt": ""}, 10, False),
    ],
    ids=["tried again", "a queue at work", "another day", "same seed", "other prompt", "other cfg", "same run", "none"],
)
def test_is_reroll(before, pause, expected):
    now = made({FOX: 0.8}, prompt="" if before.get("prompt") == "" else "a fox", run_id="r", seeds=[2])
    assert is_reroll(now, made({FOX: 0.8}, **before), pause) is expected


def test_act_on_a_lora_counts_once_a_prompt_and_a_few_times_in_all(store):
    for _ in range(3):
        store.make({}, offered=[offer(FOX)])
    assert store.kinds() == [("removed", FOX)]
    for number in range(20):
        store.make({}, offered=[offer(FOX)], prompt=f"prompt {number}")
    assert store.kinds() == [("removed", FOX)] * WORTH[Evidence.REMOVED].same


EDITED = [{"setting": "cfg", "source": "user", "otherwise": "7"}]


def cfgs(store):
    return [one.picture.settings.cfg for one in store.engine.preferences().observations]


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([("a", 4), ("b", 4)], [4]),
        ([("a", 4), ("b", 4), ("c", 4), ("d", 5), ("e", 5)], [4, 4, 5]),
        ([("a", 4)], []),
        ([("a", 4), ("a", 4), ("a", 4)], []),
        ([("a", 4), ("a", 4), ("b", 4), ("b", 4)], [4]),
        ([("a", 4), ("b", 5), ("c", 4), ("d", 5)], []),
        ([("a", 4), ("b", 7), ("c", 4)], []),
        ([("a", 4, 5, 6), ("b", 4, 5, 6), ("c", 4, 5, 6)], []),
        ([("a", 4, 5), ("b", 5), ("c", 5)], [5]),
        ([("a", 4), ("b", 4, 5)], []),
        ([("a", 4, 4, 4), ("b", 4, 4, 4)], [4]),
        ([(prompt, 4) for prompt in "abcdefgh"], [4] * WORTH[Evidence.SETTING].same),
    ],
    ids=[
        "kept for the next prompt",
        "kept, then another one kept",
        "given once",
        "same prompt again",
        "next prompt after further tries",
        "tried in turn",
        "given up between",
        "sweeps",
        "one kept after a sweep",
        "sweep that begins with the last value",
        "batches of one value",
        "left alone",
    ],
)
def test_setting_counts_once_it_is_kept_for_another_prompt(store, runs, expected):
    for number, (prompt, *values) in enumerate(runs):
        for cfg in values:
            store.make({}, prompt=prompt, run=f"r{number}", cfg=float(cfg), reasons=EDITED if cfg != 7 else ())
    assert cfgs(store) == expected
    assert store.kinds() == [("setting", "cfg")] * len(expected)


def test_settings_of_one_list_of_prompts_count_as_one_run(store):
    for run in ("first", "second"):
        for prompt in "abcd":
            store.make({}, prompt=run + prompt, run=run, cfg=4.0, reasons=EDITED)
    assert cfgs(store) == [4.0]


def test_usual_value_in_a_sweep_takes_the_edit_back(store):
    store.make({}, prompt="a", cfg=4.0, reasons=EDITED)
    store.make({}, prompt="b", run="sweep", cfg=4.0, reasons=EDITED)
    assert cfgs(store) == [4.0]
    store.make({}, prompt="b", run="sweep", cfg=7.0)
    assert cfgs(store) == []


def test_setting_is_kept_where_no_prompt_is_stored(store):
    store.engine.keep_prompts = False
    for prompt in "ab":
        store.make({}, prompt=prompt, cfg=4.0, reasons=EDITED)
    assert cfgs(store) == [4.0]


@pytest.mark.parametrize(("prompts", "expected"), [("aaa", []), ("abc", [(FOX, 0.4), (FOX, 0.5), (FOX, 0.6)])])
def test_strengths_tried_at_once_are_no_edit_and_those_of_several_prompts_are(store, prompts, expected):
    for prompt, strength in zip(prompts, (0.4, 0.5, 0.6), strict=True):
        store.make({FOX: strength}, offered=[offer(FOX)], prompt=prompt, run="list")
    found = [one.picture.loras[0] for one in store.engine.preferences().observations]
    assert [(one.lora, one.strength) for one in found] == expected


def test_edits_move_a_lora_less_than_stars(store):
    store.make({}, offered=[offer(FOX)])
    store.make({OWL: 0.8}, offered=[offer(OWL, suggested=False)])
    removed, added = store.shift(FOX), store.shift(OWL)
    assert removed < 0 < added
    rated = store.make({BAT: 0.8})
    store.engine.record_feedback(rated, 1)
    assert store.shift(BAT) < removed


def test_strength_that_was_set_is_liked_better(store):
    for number in range(2):
        store.make({FOX: 0.4}, offered=[offer(FOX)], prompt=str(number))
    low, high = store.engine.preferences().model(*ENGINE_TRAITS).strengths(FOX, [0.4, 0.8])
    assert low > high


def test_pick_beats_the_others_of_its_run(store):
    names = [store.make(used, run="r") for used in ({FOX: 0.8}, {OWL: 0.8}, {})]
    assert store.engine.signals.note(f"{names[1]}-0", Evidence.PICKED)
    assert store.shift(OWL) > 0 > store.shift(FOX)
    (one,) = store.engine.signals.shown()
    assert (one.slot, one.propensity, one.generation_id) == (1, 0.3333, names[1])
    store.engine.signals.note(names[0], Evidence.PICKED)
    assert [one.generation_id for one in store.engine.signals.shown()] == [names[0]]


def test_saving_one_of_several_tells_and_saving_all_does_not(store):
    store.rate_something()
    names = [store.make(used, run="r") for used in ({FOX: 0.8}, {OWL: 0.8})]
    store.engine.signals.note(names[0], Evidence.SAVED)
    assert store.shift(FOX) > 0 > store.shift(OWL)
    store.engine.signals.note(names[1], Evidence.SAVED)
    assert [one.evidence for one in store.engine.preferences().observations] == [Evidence.STARS]


def test_only_image_of_a_run_is_neither_picked_nor_saved(store):
    name = store.make({FOX: 0.8}, run="alone")
    assert not store.engine.signals.note(name, Evidence.SAVED)
    assert store.engine.signals.note(name, Evidence.SCOUTED, 2, [None] * 4)


def test_images_that_differ_by_the_seed_tell_nothing(store):
    name = store.make({FOX: 0.8}, images=4)
    assert store.engine.signals.note(f"{name}-2", Evidence.PICKED)
    assert len(store.engine.preferences()) == 0


DARK, USUAL, BRIGHT = ([value, *USUAL_LOOK[1:]] for value in (40, 110, 180))


@pytest.mark.parametrize("act", [Evidence.PICKED, Evidence.SAVED, Evidence.SCOUTED])
def test_choice_among_seeds_tells_of_looks_alone(store, act):
    store.rate_something()
    looks = [DARK, BRIGHT, USUAL]
    if act is Evidence.SCOUTED:
        name = store.make({FOX: 0.8}, image_looks=[BRIGHT])
        store.engine.signals.note(name, act, 1, [Look(*look) for look in looks])
    else:
        name = store.make({FOX: 0.8}, images=3, image_looks=looks)
        store.engine.signals.note(f"{name}-1", act)
    told = [one for one in store.engine.preferences().observations if one.of_looks]
    assert [(one.picture.look[0], one.other.look[0]) for one in told] == [(180, 40), (180, 110)]
    model = store.engine.preferences().model(*ENGINE_TRAITS)
    without = ValueModel([one for one in model.observations if not one.of_looks], ENGINE_TRAITS[0])
    fox = (PromptTraits("another"), [Applied.judged(FOX, 0.7)])
    # all but the age of the others
    assert model.utilities(*fox).shift == pytest.approx(without.utilities(*fox).shift, rel=0.005)
    assert model.noise[-1] == pytest.approx(without.noise[-1])


def test_pick_of_another_lora_weighs_the_same_with_looks(store):
    shifts = []
    for run, looked in enumerate(({}, {"image_looks": [DARK, USUAL, BRIGHT]})):
        names = [store.make(used, run=f"r{run}", images=3, **looked) for used in ({FOX: 0.8}, {OWL: 0.8})]
        store.engine.signals.note(f"{names[1]}-0", Evidence.PICKED)
        shifts.append(store.shift(OWL))
        store.engine.signals.drop()
    assert shifts[0] == pytest.approx(shifts[1], rel=0.01) and shifts[0] > 0


def test_second_try_is_noticed_after_a_look(store):
    first = store.make({FOX: 0.8})
    for _ in range(3):
        store.now += 20_000
        store.make({FOX: 0.8}, generation_time_seconds=10.0)
    assert [(one.kind, one.generation_id) for one in store.engine.signals.shown()] == [("rerolled", first)]
    store.rate_something()
    before = store.engine.preferences().observations
    store.engine.record_feedback(store.make({OWL: 0.8}), 5)
    (tried,) = [one for one in store.engine.preferences().observations if one.evidence is Evidence.REROLLED]
    assert [[used.lora for used in one.loras] for one in (tried.picture, tried.other)] == [[OWL], [FOX]]
    assert all(one.evidence is Evidence.STARS for one in before)


def test_acts_that_may_mean_nothing_count_only_beside_stars(store):
    for number in range(3):
        store.make({FOX: 0.8}, offered=[offer(FOX)], prompt=str(number))
    assert store.kinds() == [("kept", FOX)] * 3
    assert len(store.engine.preferences()) == 0
    rated = store.rate_something()
    assert store.shift(FOX) > 0
    store.engine.remove_feedback(rated)
    assert len(store.engine.preferences()) == 0


def test_acts_are_taken_back_one_or_all(store):
    store.make({}, offered=[offer(FOX), offer(OWL)])
    fox, _ = reversed(store.engine.signals.shown())
    assert store.engine.signals.drop([fox.number]) == 1
    (left,) = store.engine.preferences().observations
    assert [one.lora for one in left.other.loras] == [OWL]
    assert store.engine.signals.drop() == 1
    assert len(store.engine.preferences()) == 0
    assert store.engine.signals.drop() == 0


def test_reset_of_a_lora_takes_its_acts_back(store):
    store.make({}, offered=[offer(FOX), offer(OWL)])
    store.engine.reset(FOX)
    assert store.kinds() == [("removed", OWL)]
    store.engine.reset()
    assert store.kinds() == []


def test_switched_off_nothing_is_noticed_and_nothing_counts(store):
    store.make({}, offered=[offer(FOX)])
    store.engine.signals.on = False
    name = store.make({}, offered=[offer(OWL)])
    assert not store.engine.signals.note(name, Evidence.SCOUTED)
    assert len(store.engine.preferences()) == 0
    store.engine.signals.on = True
    assert store.kinds() == [("removed", FOX)]
    assert store.shift(FOX) < 0


def test_pause_leaves_acts_aside(store):
    store.make({}, offered=[offer(FOX)])
    store.engine.paused = True
    assert len(store.engine.preferences()) == 0


def test_acts_go_with_their_generation(store):
    name = store.make({}, offered=[offer(FOX)])
    store.engine.forget_generation(name)
    assert store.kinds() == []


def test_acts_hold_after_details_were_left_out(store, monkeypatch):
    monkeypatch.setattr("intelligence.learning.generation_rows.DETAILED", 1)
    for prompt in ("a fox", "an owl"):
        name = store.make({}, offered=[offer(FOX)], reasons=EDITED, cfg=4.0, prompt=prompt)
    before = store.engine.preferences().observations
    assert [one.evidence for one in before] == [Evidence.REMOVED, Evidence.REMOVED, Evidence.SETTING]
    for number in range(5):
        store.make({}, prompt=str(number))
    assert "reasons" not in store.engine.get_generation(name).data["plan"]["recommendations"]["suggested_params"]
    assert store.engine.preferences().observations == before


def test_acts_follow_a_moved_lora(store):
    store.make({}, offered=[offer(FOX)])
    (one,) = store.engine.preferences({FOX: OWL}).observations
    assert one.other.loras[0].lora == OWL


def test_unknown_act_is_refused(store):
    from intelligence import InvalidInputError

    with pytest.raises(InvalidInputError):
        store.engine.signals.note(store.make({}), Evidence.STARS)


def test_removed_suggestion_counts_at_its_standing(store):
    store.make({}, offered=[offer(FOX, confidence=0.0, standing=0.9)])
    (one,) = store.engine.preferences().observations
    assert one.other.loras == (Applied.judged(FOX, 0.0, 0.8, standing=0.9),)
