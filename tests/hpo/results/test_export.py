import math
from pathlib import Path

import pytest
from optuna.trial import TrialState, create_trial

from hpo.results.export import choose, export_best
from hpo.search.objective import WORST
from hpo.study.checked import BrokenStudy
from hpo.study.confirmations import keep_result
from hpo.study.study import StoredStudy, StudyError
from hpo.study.trials import INTERRUPTED, Record
from model.configuration import Configuration
from tests.hpo.command import Hpo, refused
from tests.hpo.fixture_types import Open, Searched
from tests.hpo.made_up import by_error, keep
from tests.hpo.tiny_study import tiny_settings

HOW = Record(seed=3, best_epoch=1, device="a CPU", precision="bf16")


def crown(stored: StoredStudy, trial: int, *errors: float) -> None:
    keep(stored.study, trial, *errors, tasks=200)


def test_export_takes_the_confirmed_winner(hpo: Hpo, searched: Searched) -> None:
    stored = searched()
    best, second, third = by_error(stored)
    plain = hpo("export tiny")
    assert Configuration.from_toml(plain.out, "").provenance is not None
    assert f"took trial {best}; it is not confirmed: `hpo confirm tiny` tells" in plain.err

    crown(stored, best, 0.9, 0.9)
    crown(stored, second, 0.8, 0.9)
    outcome = hpo("export tiny")
    made = Configuration.from_toml(outcome.out, "").provenance
    assert made is not None
    assert (made.trial, made.study_token) == (second, stored.token)
    assert made.error == stored.study.trials[second].value
    assert made.confirmed_error == pytest.approx(0.85)
    assert made.confirmed_spread == pytest.approx(math.sqrt(0.005))
    assert made.confirmed_seeds == 2
    points = 100 * (0.85 - made.error)
    assert f"took trial {second}, the confirmed winner: error 85.0 %" in outcome.err
    assert f"was {points:.1f} points too good" in outcome.err
    assert "again" not in outcome.err

    asked = hpo(f"export tiny --trial {best}")
    assert f"took trial {best}, confirmed, but not the winner" in asked.err
    other = Configuration.from_toml(hpo(f"export tiny --trial {third}").out, "").provenance
    assert other is not None
    assert (other.trial, other.confirmed_seeds) == (third, None)


def test_what_was_confirmed_by_short_trainings_alone_is_said_to_be(
    hpo: Hpo, searched: Searched
) -> None:
    stored = searched()
    best, second, _ = by_error(stored)
    crown(stored, best, 0.3, 0.3)
    crown(stored, second, 0.2, 0.2)
    keep_result(stored.study, second, 0, {"error": 0.1, "tasks": 200}, full=True)
    assert f"took trial {second}, the confirmed winner: error 10.0 %" in hpo("export tiny").err
    other = hpo(f"export tiny --trial {best}")
    assert f"took trial {best}, confirmed, but not the winner: error 30.0 %" in other.err
    made = Configuration.from_toml(other.out, "").provenance
    assert made is not None
    assert made.confirmed_error == pytest.approx(0.3)


def test_export_tells_of_trials_that_confirm_has_not_seen(hpo: Hpo, searched: Searched) -> None:
    best, second, third = by_error(searched())
    crown(searched(), second, 0.2, 0.1)
    crown(searched(), third, 0.3, 0.2)
    again = f"trial {best} may be better and is not confirmed as far: run `hpo confirm tiny` again"
    outcome = hpo("export tiny")
    assert again in outcome.err
    assert "points too bad" in outcome.err
    crown(searched(), best, 0.1)  # one seed of two
    assert again in hpo("export tiny").err
    crown(searched(), best, 0.9)
    assert "again" not in hpo("export tiny").err


def test_a_trial_that_cannot_be_exported_is_one_sentence(hpo: Hpo, searched: Searched) -> None:
    study = searched().study
    assert refused(hpo("export tiny --trial 9"), "has no trial 9, only 0 to 2: name one")
    study.add_trial(create_trial(state=TrialState.PRUNED))
    study.add_trial(create_trial(state=TrialState.FAIL))
    study.add_trial(create_trial(state=TrialState.RUNNING))
    study.add_trial(create_trial(value=WORST, user_attrs={"fail_reason": "diverged: so"}))
    reason = INTERRUPTED + "Ctrl-C"
    study.add_trial(create_trial(state=TrialState.FAIL, user_attrs={"fail_reason": reason}))
    end = ", so it has no full training behind it: name a complete one"
    assert refused(hpo("export tiny --trial 3"), f"trial 3 of the study tiny is pruned{end}")
    assert refused(hpo("export tiny --trial 4"), f"trial 4 of the study tiny has failed{end}")
    assert refused(hpo("export tiny --trial 7"), f"trial 7 of the study tiny was handed back{end}")
    assert refused(hpo("export tiny --trial 5"), "trial 5 of the study tiny is running")
    assert refused(hpo("export tiny --trial 6"), "could not be trained (diverged: so): name")
    assert refused(hpo("export tiny --trial -1"), "--trial")


def test_a_trial_that_somebody_added_is_one_sentence(hpo: Hpo, searched: Searched) -> None:
    study = searched().study
    one = study.get_trials()[0]
    study.add_trial(create_trial(value=0.0, params=one.params, distributions=one.distributions))
    assert refused(hpo("export tiny"), "trial 3 of the study tiny does not say how it was trained")
    assert hpo(f"export tiny --trial {one.number}").status == 0


def test_an_older_configuration_loads(hpo: Hpo, searched: Searched, tmp_path: Path) -> None:
    text = "".join(
        line
        for line in hpo("export tiny").out.splitlines(keepends=True)
        if not line.startswith(("study_token", "confirmed_"))
    )
    read = Configuration.from_toml(text, "old.toml").provenance
    assert read is not None
    assert read.study_token is None
    assert read.confirmed_seeds is None
    assert tiny_settings(tmp_path).training == read.training


def test_a_study_without_a_complete_trial_says_how_to_go_on(stored: StoredStudy) -> None:
    with pytest.raises(StudyError, match="has no trial 0, none yet: name one"):
        choose(stored, 0)
    stored.study.add_trial(create_trial(state=TrialState.PRUNED))
    advice = "tiny has no complete trial yet: go on with `hpo run tiny --trials 21`"
    with pytest.raises(StudyError, match=advice):
        choose(stored)


def test_a_rival_is_better_than_the_winner_and_not_as_good(stored: StoredStudy) -> None:
    for error in (0.1, 0.14, 0.12, 0.11):
        stored.study.add_trial(create_trial(value=error))
    crown(stored, 0, 0.2, 0.2)
    crown(stored, 1, 0.4, 0.4)
    crown(stored, 2, 0.2)  # as good as the winner, from one seed; better than the second
    assert (choose(stored).trial.number, choose(stored).rival) == (0, None)
    crown(stored, 2, 0.1)
    assert choose(stored).rival == 2
    crown(stored, 2, 0.2)
    stored.study.add_trial(create_trial(value=0.1))  # no better than the winner's in the search
    assert choose(stored).rival is None
    stored.study.add_trial(create_trial(value=0.09))
    assert choose(stored).rival == 5
    assert choose(stored, 1).rival is None


def test_no_rival_is_one_that_was_confirmed_and_not_taken_for_the_full_training(
    stored: StoredStudy,
) -> None:
    for error in (0.2, 0.1):
        stored.study.add_trial(create_trial(value=error))
    crown(stored, 0, 0.2)
    crown(stored, 1, 0.3)
    keep_result(stored.study, 0, 0, {"error": 0.15, "tasks": 100}, full=True)
    assert (choose(stored).trial.number, choose(stored).rival) == (0, None)
    stored.study.add_trial(create_trial(value=0.15))
    assert choose(stored).rival == 2


def test_a_configuration_is_that_of_the_full_training(open_study: Open) -> None:
    stored = open_study()
    trial = stored.study.ask()
    params = stored.space.suggest(trial)
    HOW.write(trial)
    stored.study.tell(trial, 0.0)
    made = export_best(stored)
    assert made.training == stored.settings.trained_in_full() != stored.settings.training
    assert made.network == stored.space.architecture(params)
    assert made.seed == 3
    assert made.provenance is not None
    assert made.provenance.training == stored.settings.training
    assert (made.provenance.error, made.provenance.best_epoch) == (0.0, 1)
    assert (made.provenance.device, made.provenance.precision) == ("a CPU", "bf16")
    assert made.provenance.exported.endswith("+00:00")


@pytest.mark.parametrize("missing", ["seed", "best_epoch", "device", "precision"])
def test_a_trial_says_all_of_how_it_was_trained(stored: StoredStudy, missing: str) -> None:
    trial = stored.study.ask()
    stored.space.suggest(trial)
    HOW._replace(**{missing: None}).write(trial)
    stored.study.tell(trial, 0.1)
    with pytest.raises(BrokenStudy, match="trial 0 of the study tiny does not say how"):
        export_best(stored)
