"""The table of families, and explicit schedules."""

import itertools
import json

import pytest

from intelligence.config import Priority
from intelligence.errors import InvalidInputError
from intelligence.models import Architecture, Family, FamilyFinding
from intelligence.models.kinds import ARCHITECTURES, DISTILLED, UNETS
from intelligence.parameters import find_profile, profile_for
from intelligence.parameters.samplers import SAMPLER_NAMES
from intelligence.parameters.schedules import SCHEDULER_NAMES, ZSNR_SCHEDULERS, schedule_sigmas
from intelligence.prompt import ArtisticStyle


def found(family, architecture=Architecture.SDXL, **values):
    return FamilyFinding(family, architecture, 1.0, "", **values)


PHOTO, ANIME = ArtisticStyle.PHOTOREALISTIC, ArtisticStyle.ANIME


@pytest.mark.parametrize(
    ("family", "style", "priority", "expected"),
    [
        (Family.SDXL, PHOTO, Priority.SPEED, (10, 7.0, "dpmpp_2m", "karras", "ays")),
        (Family.SDXL, None, Priority.BALANCED, (20, 7.0, "dpmpp_2m", "karras", None)),
        (Family.SDXL, PHOTO, Priority.QUALITY, (30, 4.0, "dpmpp_2m_sde", "karras", None)),
        (Family.SDXL, ANIME, Priority.BALANCED, (24, 7.0, "euler_ancestral", "normal", None)),
        (Family.PONY, ANIME, Priority.BALANCED, (25, 7.0, "euler_ancestral", "normal", None)),
        (Family.ILLUSTRIOUS, PHOTO, Priority.BALANCED, (24, 5.0, "euler_ancestral", "normal", None)),
        (Family.NOOBAI_VPRED, None, Priority.BALANCED, (26, 5.0, "euler", "normal", None)),
        (Family.TURBO, None, Priority.SPEED, (1, 1.0, "euler_ancestral", "sgm_uniform", None)),
        (Family.LCM, None, Priority.SPEED, (6, 1.0, "lcm", "sgm_uniform", None)),
        (Family.DMD2, None, Priority.QUALITY, (4, 1.0, "lcm", "sgm_uniform", None)),
        (Family.SD15, None, Priority.SPEED, (10, 7.0, "dpmpp_2m", "karras", "ays_sd1")),
    ],
)
def test_find_profile(family, style, priority, expected):
    row = find_profile(family, style, priority)
    assert (row.steps, row.cfg, row.sampler, row.scheduler, row.schedule) == expected


@pytest.mark.parametrize(
    ("family", "priority", "style"), list(itertools.product(Family, Priority, (None, PHOTO, ANIME)))
)
def test_find_profile_is_known_to_comfyui(family, priority, style):
    row = find_profile(family, style, priority)
    assert row.sampler in SAMPLER_NAMES
    assert row.scheduler in SCHEDULER_NAMES
    assert set(row.samplers) <= set(SAMPLER_NAMES)
    assert set(row.schedulers) <= set(SCHEDULER_NAMES)
    assert row.source
    assert row.fixed or family not in DISTILLED
    assert row.cfg_cutoff_sigma == 0 or not row.fixed


UNET_FAMILIES = [family for family, architecture in ARCHITECTURES.items() if architecture in UNETS]


@pytest.mark.parametrize(("family", "priority"), list(itertools.product(UNET_FAMILIES, Priority)))
def test_find_profile_zsnr_gets_fitting_schedule(family, priority):
    row = find_profile(family, PHOTO, priority, zsnr=True)
    assert row.family is family
    assert row.scheduler in ZSNR_SCHEDULERS
    assert set(row.schedulers) <= ZSNR_SCHEDULERS
    assert row.schedule is None
    assert row.rescale_cfg == 0.7
    assert row.quality_tags == find_profile(family, PHOTO, priority).quality_tags


def test_find_profile_keeps_steps_of_distilled_checkpoint():
    row = find_profile(Family.LIGHTNING, None, Priority.QUALITY, few_steps=8)
    assert (row.steps, row.cfg, row.fixed, row.step_range) == (8, 1.0, True, None)


def test_find_profile_pony_score_tags_come_first():
    row = find_profile(Family.PONY)
    assert row.quality_tags == ("score_9", "score_8_up", "score_7_up")
    assert row.quality_front


def test_schedule_sigmas_at_ten_steps_is_published_table():
    assert schedule_sigmas("ays", 10) == pytest.approx(
        (14.615, 6.318, 3.768, 2.181, 1.341, 0.862, 0.555, 0.380, 0.233, 0.111, 0), abs=1e-3
    )


@pytest.mark.parametrize("steps", [1, 2, 8, 9, 12, 20, 37])
def test_schedule_sigmas_fall_to_zero(steps):
    sigmas = schedule_sigmas("ays", steps)
    assert len(sigmas) == steps + 1
    assert (sigmas[0], sigmas[-1]) == (pytest.approx(14.615, abs=1e-3), 0)
    assert all(one > other for one, other in itertools.pairwise(sigmas))


def test_schedule_sigmas_interpolate_log_linearly():
    assert schedule_sigmas("ays", 20)[1] == pytest.approx((14.6146 * 6.31845) ** 0.5, abs=1e-3)


ROW = {"steps": 33, "cfg": 3.5, "sampler": "euler", "scheduler": "beta", "source": "me"}


def user_table(tmp_path, **row):
    values = ROW | row
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"families": {"pony": {"native": "sdxl", "looks": {"default": {"BALANCED": values}}}}}))
    return path


def test_family_table_user_replaces_one_family(tmp_path):
    path = user_table(tmp_path)
    assert find_profile(Family.PONY, table=path).steps == 33
    assert find_profile(Family.PONY, priority=Priority.QUALITY, table=path).steps == 33
    assert find_profile(Family.SDXL, table=path) == find_profile(Family.SDXL)
    assert find_profile(Family.PONY).steps == 25


@pytest.mark.parametrize(("key", "value"), [("steps", 0), ("steps", "many"), ("cfg", None), ("schedule", "magic")])
def test_family_table_names_wrong_value(tmp_path, key, value):
    with pytest.raises(InvalidInputError, match=rf"mine\.json: .*\.pony\.looks\.default\.BALANCED\.{key} must be"):
        find_profile(Family.PONY, table=user_table(tmp_path, **{key: value}))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"families": []}', '{"families": {"nope": {}}}'])
def test_family_table_refuses_other_json(tmp_path, text):
    path = tmp_path / "mine.json"
    path.write_text(text)
    with pytest.raises(InvalidInputError, match=r"mine\.json"):
        find_profile(Family.SDXL, table=path)


def test_family_table_without_users_file(tmp_path):
    assert find_profile(Family.SDXL, table=tmp_path / "none.json") == find_profile(Family.SDXL)


def test_family_table_refuses_unreadable_file(tmp_path):
    with pytest.raises(InvalidInputError, match="cannot be read"):
        find_profile(Family.SDXL, table=tmp_path)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"native": "4096"}, "native must be one of sdxl, 768, 512, 256, 1024, 2048, qwen, demo, got '4096'"),
        ({"quality_tags": "score_9"}, "quality_tags must be a valid tuple"),
        ({"qualitytags": []}, "qualitytags is unknown; did you mean 'quality_tags'"),
        ({"range": {"steps": [30, 10]}}, "range: steps must be the smallest and largest value, from 1 to 1000"),
        ({"range": {"samplers": ["eular"]}}, "range.samplers.0 must be one of euler, "),
        ({"looks": {"photo": {}}}, "looks.photo.BALANCED is missing"),
        ({"looks": {"photo": {"BALANCED": ROW}}}, "looks.default is missing"),
        ({"looks": {"default": {}}}, "looks.default.BALANCED is missing"),
        ({"looks": {"default": {"BALANCED": []}}}, "looks.default.BALANCED must be"),
        ({"looks": {"default": {"balanced": ROW}}}, "looks.default.BALANCED is missing"),
        ({"looks": {"painting": {"BALANCED": ROW}}}, "looks.painting must be one of default, photo, "),
    ],
)
def test_family_table_names_wrong_entry(tmp_path, change, text):
    path = user_table(tmp_path)
    table = json.loads(path.read_text())
    table["families"]["pony"] |= change
    path.write_text(json.dumps(table))
    with pytest.raises(InvalidInputError, match=rf"mine\.json: families\.pony.*{text}"):
        find_profile(Family.PONY, table=path)


@pytest.mark.parametrize(
    ("finding", "expected"),
    [
        (found(Family.TURBO), (1, 1.0, "512", ())),
        (found(Family.TURBO, variant="merge"), (4, 2.0, "sdxl", ())),
        (found(Family.HYPER, few_steps=12, variant="guided"), (12, 5.0, "sdxl", ())),
        (found(Family.LCM, architecture=Architecture.SD1), (6, 1.0, "512", ())),
        (
            found(Family.LIGHTNING, base=Family.PONY, few_steps=8),
            (8, 1.0, "sdxl", ("score_9", "score_8_up", "score_7_up")),
        ),
    ],
)
def test_profile_for_distilled_model(finding, expected):
    row = profile_for(finding)
    assert (row.steps, row.cfg, row.native, row.quality_tags) == expected
    assert row.fixed


def test_profile_for_distilled_zsnr_gets_fitting_scheduler():
    assert profile_for(found(Family.TURBO, variant="merge", zsnr=True)).scheduler in ZSNR_SCHEDULERS
