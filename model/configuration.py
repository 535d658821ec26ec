"""A configuration: all that is needed to train one network again, to and from TOML."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Self

import tomli_w
from pydantic import Field, ValidationError, model_validator

from data.errors import UserError
from data.files import read_text
from data.sets import WAY, SetName
from model.architecture import Architecture, Frozen
from model.recipe import LayerRates, Precision, Seed, Training


class ConfigurationError(UserError):
    """A file that is no valid configuration. One sentence that says what to do."""


class DataChoice(Frozen):
    """Which images, how they are split, and which validation tasks are drawn from them."""

    set: SetName
    path: Annotated[str | None, Field(exclude=True)] = None
    """The folder of the images, for ``folder``; where it is, is never kept."""
    seed: Seed = 0
    """Of the drawn alphabets, for ``strokes``; of the classes held out, for ``folder``."""
    all_drawers: bool = False
    """Train on the images of all 20 drawers of the training alphabets, not of the paper's 12."""
    held_out: Annotated[float, Field(gt=0, lt=0.5)] = 0.2
    """The share of each group's classes that validates; as many evaluate. For ``folder``."""
    validation_groups: tuple[str, ...] = ()
    """For ``folder``: the groups that validate, instead of a share of each."""
    evaluation_groups: tuple[str, ...] = ()
    """Likewise those that evaluate."""
    way: Annotated[int, Field(ge=2)] = WAY
    """Classes in the support set of a task."""
    shots: Annotated[int, Field(ge=1)] = 1
    """Images of each class in it."""
    validation_tasks: Annotated[int, Field(ge=2)] = 320
    """How many; a multiple of ``way``."""
    task_seed: Seed = 0
    """Of the validation tasks, which are the same in every trial of a study."""

    @model_validator(mode="after")
    def _of_one_kind(self) -> Self:
        if self.validation_tasks % self.way:
            raise ValueError(
                f"validation_tasks = {self.validation_tasks} is not a multiple of way = {self.way}"
            )
        both = set(self.validation_groups) & set(self.evaluation_groups)
        if both or bool(self.validation_groups) != bool(self.evaluation_groups):
            raise ValueError(
                "validation_groups and evaluation_groups are two lists of different groups, or "
                "both left out"
            )
        if self.set != "folder" and (self.validation_groups or self.path):
            raise ValueError(f"a path and groups are of the set folder, not of {self.set}")
        if self.set == "folder" and self.all_drawers:
            raise ValueError("all_drawers is of Omniglot: nobody knows who drew a folder's images")
        return self

    def whole_draws(self, count: int) -> int:
        """The most tasks up to ``count`` that can be drawn, ``way`` at a time."""
        return max(count - count % self.way, self.way)


class Provenance(Frozen):
    """Where a configuration comes from, and what makes its trial's error again."""

    study: str
    trial: int
    error: float
    """Best one-shot validation error of any epoch of the trial, in [0, 1]."""
    best_epoch: int
    seed: int
    training: Training
    """The recipe of the trial; the configuration's own may train longer."""
    data_fingerprint: str
    device: str
    precision: Precision
    hpo_version: str
    exported: str
    """UTC, ISO 8601."""
    study_token: str | None = None
    """Tells the study from others of its name, in other databases."""
    confirmed_error: float | None = None
    """Mean error on fresh tasks of networks trained from new seeds, in [0, 1], if there are any."""
    confirmed_spread: float | None = None
    """Their sample standard deviation, if there are two or more."""
    confirmed_seeds: int | None = None
    """How many there are."""


class Configuration(Frozen):
    """A network, its layers' rates, its recipe and its data."""

    seed: Seed = 0
    """Of the initial weights and the order of the batches."""
    data: DataChoice
    network: Architecture
    rates: dict[str, LayerRates]
    training: Training
    provenance: Provenance | None = None

    @model_validator(mode="after")
    def _rates_for_every_layer(self) -> Self:
        if set(self.rates) != set(self.network.layers):
            raise ValueError(
                f"rates are for {', '.join(sorted(self.rates))} where the network has "
                f"the layers {', '.join(self.network.layers)}"
            )
        return self

    def with_training(self, **changes: Any) -> Configuration:
        """The same with another recipe in these fields of `Training`, which are not checked."""
        training = self.training.model_copy(update=changes)
        return self.model_copy(update={"training": training})

    def to_toml(self) -> str:
        """The configuration as a TOML document."""
        return tomli_w.dumps(self.model_dump(exclude_none=True, mode="json"))

    @property
    def recipe_key(self) -> str:
        """The same for configurations that train alike, also after a setting was invented."""
        given = self.model_dump_json(exclude={"provenance"}, exclude_defaults=True)
        return f"{self.training.sampling.kind} {given}"

    @classmethod
    def from_toml(cls, text: str, where: str) -> Configuration:
        """Read and check a configuration.

        Args:
            text: the document.
            where: its name, for the message.

        Raises:
            ConfigurationError: not TOML, an unknown or missing key, or a value out of range.
        """
        try:
            return cls.model_validate(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise ConfigurationError(f"{where} is not TOML ({error}): export it again") from error
        except RecursionError as error:
            raise ConfigurationError(f"{where} is nested too deeply: export it again") from error
        except ValidationError as error:
            raise ConfigurationError(
                f"{where}: {first_problem(error)}: correct it, or export it again with `hpo export`"
            ) from error

    @classmethod
    def read(cls, path: Path) -> Configuration:
        """Read a configuration file; raises `ConfigurationError` as `from_toml` does."""
        advice = "give a file that `hpo export` wrote"
        return cls.from_toml(read_text(path, advice, ConfigurationError), str(path))


QUOTED = 60
"""Characters of a value that a sentence quotes at the most."""


def first_problem(error: ValidationError) -> str:
    """The first finding of a validation, in one clause that quotes the key and the value."""
    finding = error.errors()[0]
    key = ".".join(str(part) for part in finding["loc"])
    if finding["type"] == "extra_forbidden":
        return f"unknown key {key}"
    if finding["type"] == "missing":
        return f"the key {key} is missing"
    message = finding["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    if finding["type"] == "value_error":
        return f"{key}: {message}" if key else message
    value = repr(finding["input"])
    short = value if len(value) <= QUOTED else f"{value[:QUOTED]}…"
    return f"{key} = {short}: {message}" if key else f"{short}: {message}"
