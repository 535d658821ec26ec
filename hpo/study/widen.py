"""A study that goes on in wider ranges, with the trials that it has."""

from collections.abc import Sequence
from dataclasses import replace

from optuna.distributions import distribution_to_json
from sqlalchemy import select, update

from hpo.study.patient_storage import PatientStorage
from hpo.study.retry import reclaim
from hpo.study.settings import FloatRange, IntRange, SettingsError, SpaceSettings, StudySettings
from hpo.study.space import SearchSpace
from hpo.study.sparse import PARAMS, TRIALS
from hpo.study.study import StudyError, check_settings, is_made, load
from hpo.study.trials import running


def widen(
    name: str,
    storage: PatientStorage,
    settings: StudySettings,
    changes: Sequence[str],
    shipped: bool = False,
) -> None:
    """Let a study go on in wider ranges, if it exists and has narrower ones.

    Its trials are recorded again under the new ranges, with the values that they have: a sampler
    that looks for what all trials have in common passes over a parameter whose ranges differ.
    Cut short, it is finished by the same call.

    Args:
        name: of the study.
        storage: where it stands.
        settings: as they are to be.
        changes, shipped: of the study file, as `hpo.study.study.create_or_resume` takes them.

    Raises:
        SettingsError: a range would be narrower, or another kind of range.
        StudyError: the study has other settings besides, or a process works on it.
    """
    if not is_made(name, storage):
        return
    stored = load(name, storage)
    if stored.settings.space == settings.space:
        return
    check_wider(stored.settings.space, settings.space)
    wider = stored.settings.model_copy(update={"space": settings.space})
    if not shipped:  # else the study may go on with its own: `create_or_resume` tells
        check_settings(replace(stored, settings=wider), settings, changes, shipped)
    reclaim(stored.study, storage)
    for trial in running(stored.study):
        raise StudyError(
            f"trial {trial.number} of the study {name} runs: stop its processes, or wait "
            "until they have ended, then type the same line"
        )
    study_id = storage.get_study_id_from_name(name)
    own = select(TRIALS.c.trial_id).where(TRIALS.c.study_id == study_id)

    def record_again(_number: int) -> None:
        with storage.engine.begin() as connection:
            for parameter, distribution in SearchSpace(wider).distributions.items():
                connection.execute(
                    update(PARAMS)
                    .where(PARAMS.c.param_name == parameter, PARAMS.c.trial_id.in_(own))
                    .values(distribution_json=distribution_to_json(distribution))
                )

    storage.outlast(record_again)
    stored.study.set_user_attr("changes", list(changes))
    stored.study.set_user_attr("settings", wider.model_dump(mode="json"))  # last: then it is done


def check_wider(old: SpaceSettings, new: SpaceSettings) -> None:
    """See that ranges hold all that others held.

    Raises:
        SettingsError: one does not.
    """
    for key in SpaceSettings.model_fields:
        before, after = getattr(old, key), getattr(new, key)
        if isinstance(before, IntRange | FloatRange):
            wide = after.low <= before.low and after.high >= before.high
            if not wide or getattr(before, "log", False) != getattr(after, "log", False):
                raise SettingsError(
                    f"space.{key} = {_shown(after)} does not hold all of the study's "
                    f"{_shown(before)}: --widen takes a lower low and a higher high"
                )
        elif after is not None and (before is None or after < before):
            raise SettingsError(
                f"space.{key} = {after:g} allows less than the study does "
                f"({'no limit' if before is None else f'{before:g}'}): --widen takes a higher one"
            )


def _shown(limits: IntRange | FloatRange) -> str:
    log = " (log)" if getattr(limits, "log", False) else ""
    return f"{limits.low:g} to {limits.high:g}{log}"
