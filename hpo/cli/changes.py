"""What `--set` may change of a study file, and what it has changed of a study."""

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from hpo.cli.steps import opened_study
from hpo.study.settings import StudySettings, keys_of
from hpo.study.storage import NoStudy
from hpo.study.study import StudyError


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
