"""What `--set` may change of a study file, and what it has changed of a study."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from hpo.cli.steps import opened_study
from hpo.study.settings import SettingsError, StudySettings, keys_of, parsed_changes
from hpo.study.storage import NoStudy
from hpo.study.study import StudyError


def given_changes(
    set_: Sequence[str], widened: Sequence[str], chosen: Mapping[str, object]
) -> list[str]:
    """The changes that a command line asks for, as `read_settings` takes them.

    Args:
        set_: those of ``--set``.
        widened: those of ``--widen``, below ``space``.
        chosen: the values of options with a name of their own, by key below ``search``; None is
            not given.

    Raises:
        SettingsError: ``--set`` has a key that another option has too.
    """
    options = [f"search.{key}={value}" for key, value in chosen.items() if value is not None]
    options += [f"space.{change}" for change in widened]
    for key in sorted(parsed_changes(options).keys() & parsed_changes(set_).keys()):
        table, _, name = key.partition(".")
        option = f"--{name}" if table == "search" else f"--widen {name}"
        raise SettingsError(f"{option} and --set {key} say the same twice: give one of them")
    return [*set_, *options]


def kept_changes(study: str, storage: str | None) -> Sequence[str]:
    """What was changed of the study file when the study was made, if it is there."""
    with (
        suppress(NoStudy, StudyError),  # what is wrong with it is said when it is resumed
        opened_study(study, storage, read_only=True) as (_, stored),
    ):
        return stored.changes or ()
    return ()


def print_keys(settings: StudySettings) -> None:
    """Print all settings of a study, each as ``--set`` takes it."""
    for key, value in keys_of(settings).items():
        print(f"{key} is not set" if value is None else f"{key}={_in_toml(value)}")


def _in_toml(value: Any) -> str:
    """A value on one line, as ``--set`` reads it."""
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{name} = {_in_toml(one)}' for name, one in value.items())} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_in_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)
