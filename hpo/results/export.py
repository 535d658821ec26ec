"""The best trial of a study, or another one of it, as a configuration."""

import math
import shlex
from dataclasses import dataclass
from datetime import UTC, datetime

from optuna.trial import FrozenTrial, TrialState

from hpo import __version__
from hpo.study.checked import BrokenStudy
from hpo.study.confirmations import Confirmed, confirmed, leading
from hpo.study.study import StoredStudy, StudyError
from hpo.study.trials import finished, is_handed_back, record, trained_trials
from model.configuration import Configuration, Provenance


@dataclass(frozen=True)
class Choice:
    """A trial to be exported.

    Attributes:
        trial: complete and trained.
        confirmed: what `hpo confirm` found of it, if it was run.
        winner: whether it leads the confirmed ones.
        rival: a trial that may be better and is not confirmed, or not as much as this one.
    """

    trial: FrozenTrial
    confirmed: Confirmed | None
    winner: bool
    rival: int | None


def choose(stored: StoredStudy, number: int | None = None) -> Choice:
    """The trial of this number; without one the confirmed winner, else the lowest error.

    Raises:
        StudyError: no such trial, or none that has been trained to its end.
    """
    ranked = leading(stored.study)
    if number is not None:
        trial = _trained(stored, number)
    else:
        trained = complete_trials(stored)
        trial = next((t for t in trained if ranked and t.number == ranked[0].trial), trained[0])
    known = [*ranked, *confirmed(stored.study)]  # where some are in full, others may be short
    found = next((c for c in known if c.trial == trial.number), None)
    winner = bool(ranked) and found is ranked[0]
    rival = _rival(stored, ranked, {c.trial for c in known}) if winner else None
    return Choice(trial, found, winner, rival)


def complete_trials(stored: StoredStudy) -> list[FrozenTrial]:
    """The trials that were trained to their end, the lowest error first.

    Raises:
        StudyError: there is none.
    """
    trained, name = trained_trials(stored.study), stored.study.study_name
    if not trained:
        raise StudyError(
            f"the study {name} has no complete trial yet: go on with `hpo run {shlex.quote(name)} "
            f"--trials {finished(stored.study) + 20}`"
        )
    return trained


def _rival(stored: StoredStudy, ranked: list[Confirmed], known: set[int]) -> int | None:
    """The best of those that were passed over, as they have too few retrainings, if any was.

    ``known`` are the trials that are confirmed in any way.
    """
    first = ranked[0]
    level = [c for c in ranked if c.matches(first)]
    for behind in sorted((c for c in ranked if c not in level), key=lambda c: c.mean):
        if behind.mean < first.mean:
            return behind.trial
    lowest = min(c.search_error for c in ranked)
    for trial in trained_trials(stored.study):
        if trial.number not in known and trial.value is not None and trial.value < lowest:
            return trial.number
    return None


def _trained(stored: StoredStudy, number: int) -> FrozenTrial:
    trials = stored.study.get_trials(deepcopy=False)
    name = stored.study.study_name
    trial = next((t for t in trials if t.number == number), None)
    if trial is None:
        has = f"only 0 to {len(trials) - 1}" if trials else "none yet"
        raise StudyError(f"the study {name} has no trial {number}, {has}: name one that it has")
    if trial.state != TrialState.COMPLETE:
        state = "has failed" if trial.state == TrialState.FAIL else f"is {trial.state.name.lower()}"
        state = "was handed back" if is_handed_back(trial) else state
        raise StudyError(
            f"trial {number} of the study {name} {state}, so it has no full training behind it: "
            "name a complete one"
        )
    reason = record(trial).fail_reason
    if reason:
        raise StudyError(
            f"trial {number} of the study {name} could not be trained ({reason}): name another one"
        )
    return trial


def export_best(stored: StoredStudy, choice: Choice | None = None) -> Configuration:
    """The configuration of a trial, to be trained in full; by default of the one `choose` takes.

    Raises:
        StudyError: no trial has been trained to its end.
        BrokenStudy: the trial was not written by this program.
    """
    choice = choice or choose(stored)
    trial, settings, found = choice.trial, stored.settings, choice.confirmed
    kept = record(trial)
    seed, best_epoch, device, precision = kept.seed, kept.best_epoch, kept.device, kept.precision
    if seed is None or best_epoch is None or device is None or precision is None:
        raise BrokenStudy(
            f"trial {trial.number} of the study {stored.study.study_name} does not say how it was "
            "trained"
        )
    configuration = stored.space.configuration(trial.params, seed, settings.trained_in_full())
    provenance = Provenance(
        study=stored.study.study_name,
        study_token=stored.token,
        trial=trial.number,
        error=trial.value or 0.0,  # a complete trial has one
        best_epoch=best_epoch,
        seed=seed,
        training=settings.training,
        data_fingerprint=stored.data_fingerprint,
        device=device,
        precision=precision,
        hpo_version=__version__,
        exported=datetime.now(UTC).isoformat(timespec="seconds"),
        confirmed_error=found.mean if found else None,
        confirmed_spread=found.spread if found and not math.isnan(found.spread) else None,
        confirmed_seeds=len(found.errors) if found else None,
    )
    return configuration.model_copy(update={"provenance": provenance})
