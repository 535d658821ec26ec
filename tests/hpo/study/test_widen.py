import json
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.samplers import GPSampler, TPESampler
from optuna.trial import TrialState, create_trial

from hpo.study.owner import owner
from hpo.study.settings import SettingsError
from hpo.study.study import StoredStudy, StudyError, create_or_resume, load
from hpo.study.widen import widen
from tests.hpo.command import Hpo, refused
from tests.hpo.fixture_types import Open, Searched
from tests.hpo.made_up import gone
from tests.hpo.tiny_study import open_tiny, tiny_settings, write_tiny

WIDER = ("space.filters.high=96", "space.lr.high=0.5")


def fill(stored: StoredStudy, count: int) -> None:
    chance = np.random.default_rng(0)
    for number in range(count):
        params = stored.space.draw(chance)
        state = TrialState.PRUNED if number % 3 == 2 else TrialState.COMPLETE
        stored.study.add_trial(
            create_trial(
                state=state,
                value=float(chance.random()),
                params=params,
                distributions=stored.space.distributions,
            )
        )


def widened(stored: StoredStudy, tmp_path: Path, *changes: str) -> StoredStudy:
    settings = tiny_settings(tmp_path, *changes)
    widen("tiny", stored.storage, settings, changes)
    return create_or_resume("tiny", settings, "strokes-1-0", stored.storage, None, changes)[0]


@pytest.mark.parametrize(
    "sampler", [TPESampler(n_startup_trials=4, seed=0), GPSampler(n_startup_trials=4, seed=0)]
)
def test_the_old_trials_are_in_the_wider_space_and_a_sampler_takes_all_parameters_from_them(
    stored: StoredStudy, tmp_path: Path, sampler: optuna.samplers.BaseSampler
) -> None:
    fill(stored, 12)
    before = stored.study.get_trials()
    after = widened(stored, tmp_path, *WIDER)
    assert after.settings.space.filters.high == 96
    trials = after.study.get_trials()
    assert [(t.number, t.state, t.value, t.params) for t in trials] == [
        (t.number, t.state, t.value, t.params) for t in before
    ]
    assert all(t.distributions == after.space.distributions for t in trials)
    # Optuna's own sampler, as it is: with what two kinds of ranges have in common it would
    # propose the parameters whose range has changed each by itself, at random.
    varied = {n for n, d in after.space.distributions.items() if not d.single()}
    found = sampler.infer_relative_search_space(after.study, trials[0])
    assert found.keys() == varied
    assert found["conv1_filters"].high == 96  # type: ignore[attr-defined]


def test_another_study_of_the_same_database_is_left_as_it_is(
    stored: StoredStudy, tmp_path: Path
) -> None:
    other, _ = create_or_resume("other", stored.settings, "strokes-1-0", stored.storage)
    fill(stored, 2)
    fill(other, 2)
    widened(stored, tmp_path, *WIDER)
    kept = optuna.load_study(study_name="other", storage=stored.storage).trials
    assert all(t.distributions == other.space.distributions for t in kept)


@pytest.mark.parametrize("written", [0, 1])
def test_a_widening_that_was_cut_short_is_finished_by_the_same_line(
    stored: StoredStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    fill(stored, 3)
    plain, kept = optuna.Study.set_user_attr, list[str]()

    def cut_short(study: optuna.Study, key: str, value: object) -> None:
        if len(kept) == written:
            raise KeyboardInterrupt
        plain(study, key, value)
        kept.append(key)

    with monkeypatch.context() as patch:
        patch.setattr(optuna.Study, "set_user_attr", cut_short)
        with pytest.raises(KeyboardInterrupt):
            widened(stored, tmp_path, *WIDER)
    after = widened(stored, tmp_path, *WIDER)
    again = widened(stored, tmp_path, *WIDER)
    assert after.settings == again.settings
    assert after.changes == list(WIDER)
    assert all(t.distributions == after.space.distributions for t in after.study.trials)


def test_while_a_trial_runs_it_is_refused_and_a_dead_one_goes_on_in_the_wider_ranges(
    stored: StoredStudy, tmp_path: Path
) -> None:
    trial = stored.study.ask()
    params = stored.space.suggest(trial)
    trial.set_user_attr("weights", 1)
    trial.set_user_attr("owner", owner())
    with pytest.raises(StudyError, match="trial 0 of the study tiny runs: stop"):
        widened(stored, tmp_path, *WIDER)
    trial.set_user_attr("owner", gone())
    after = widened(stored, tmp_path, *WIDER)
    assert after.study.trials[1].params == params
    assert after.study.trials[1].distributions == after.space.distributions


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("space.filters.low=32", "space.filters = 32 to 32 does not hold all of the study's 16 to"),
        ("space.lr.high=0.05", "space.lr = 0.01 to 0.05 .log. does not hold"),
        ("space.momentum.log=true", "space.momentum = 0.5 to 0.9 .log. does not hold"),
        ("space.multiply_adds=1e6", "1e[+]06 allows less than the study does .no limit."),
    ],
)
def test_no_range_becomes_narrower(
    stored: StoredStudy, tmp_path: Path, change: str, said: str
) -> None:
    fill(stored, 1)
    with pytest.raises(SettingsError, match=said):
        widened(stored, tmp_path, change)


def test_with_other_settings_nothing_is_widened(stored: StoredStudy, tmp_path: Path) -> None:
    fill(stored, 1)
    with pytest.raises(StudyError, match="other settings .training.epochs: 3 → 4."):
        widened(stored, tmp_path, *WIDER, "training.epochs=4")
    assert stored.study.trials[0].distributions == stored.space.distributions
    assert load("tiny", stored.storage).settings == stored.settings


def test_a_limit_on_cost_is_raised_likewise(open_study: Open, tmp_path: Path) -> None:
    stored = open_study("space.multiply_adds=1e6")
    after = widened(stored, tmp_path, "space.multiply_adds=2e6")
    assert after.settings.space.multiply_adds == 2e6
    with pytest.raises(SettingsError, match="1.5e[+]06 allows less than the study does .2e[+]06."):
        widened(stored, tmp_path, "space.multiply_adds=1.5e6")


@pytest.mark.soak
def test_the_command_goes_on_in_wider_ranges_and_the_same_line_resumes_it(
    hpo: Hpo, searched: Searched
) -> None:
    count = len(searched().study.trials)
    wide = "run tiny --widen filters.high=96 --widen fc_units.high=512 --trials"
    for more in (1, 2):
        outcome = hpo(f"{wide} {count + more}")
        assert outcome.status == 0, outcome.err
        assert "(resumed)" in outcome.err
    assert json.loads(hpo("status tiny --json").out)["finished"] == count + 2
    line = f"run tiny --trials {count + 3}"
    same = "--set space.filters.high=96 --set space.fc_units.high=512"
    assert hpo(f"{line} {same}").status == 0
    assert "changes  space.filters.high=96, space.fc_units.high=512" in hpo(line).err
    assert refused(hpo(f"{line} --set space.filters.high=32"), "space.filters.high: 96 → 32")
    refused(hpo(f"{line} --widen filters.high=16"), "does not hold all of the study's 16 to 96")
    refused(hpo(f"{line} --widen fliters.high=96"), "space.fliters")


def test_a_new_study_begins_in_the_wider_ranges(hpo: Hpo, tmp_path: Path) -> None:
    write_tiny(tmp_path / "studies")
    outcome = hpo("run tiny --trials 1 --workers 0 --widen filters.high=96")
    assert outcome.status == 0, outcome.err
    assert open_tiny(tmp_path).settings.space.filters.high == 96
