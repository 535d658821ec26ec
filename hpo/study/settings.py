"""The study file: all that defines a search, as one validated, frozen value."""

import shlex
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from data.errors import UserError
from data.files import read_text
from model.architecture import (
    Architecture,
    Channels,
    Convolution,
    Frozen,
    InitialWeights,
    OutputWeights,
)
from model.configuration import DataChoice, first_problem
from model.recipe import LayerRates, Seed, Training

MULTIPLE = 16
"""Filters and fully connected units come in multiples of it (Koch et al. 2015, §3.3)."""

RATES = ("lr", "momentum", "l2")
SamplerName = Literal["tpe", "tpe-univariate", "gp", "random"]
PrunerName = Literal["hyperband", "halving", "median", "none"]


class SettingsError(UserError):
    """A study file, or an option of a command, that is absent or not valid."""


class IntRange(Frozen):
    """Whole numbers from ``low`` to ``high``, both included."""

    low: Annotated[int, Field(ge=1)]
    high: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        _check_order(self.low, self.high)
        return self


class Multiples(IntRange):
    """Multiples of 16 from ``low`` to ``high``, both included."""

    @field_validator("low", "high")
    @classmethod
    def _multiple(cls, bound: int) -> int:
        if bound % MULTIPLE:
            raise ValueError(f"{bound} is not a multiple of {MULTIPLE}")
        return bound


class FloatRange(Frozen):
    """Numbers from ``low`` to ``high``; searched by their logarithm where ``log`` is set."""

    low: Annotated[float, Field(ge=0)]
    high: Annotated[float, Field(ge=0)]
    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        _check_order(self.low, self.high)
        if self.log and self.low == 0:
            raise ValueError("a range that starts at 0 cannot be log: raise low above 0")
        return self


def _check_order(low: float, high: float) -> None:
    if low > high:
        raise ValueError(f"low={low} is above high={high}")


class NetworkSettings(Frozen):
    """What all networks of a study have in common."""

    image_size: Annotated[int, Field(ge=8, le=512)]
    channels: Channels = 1
    convolutions: Annotated[int, Field(ge=1, le=8)]
    initial_weights: InitialWeights = "paper"
    output_weights: OutputWeights = "any"
    normalisation: Literal["none", "batch"] = "none"
    framed: bool = False
    eight_views: bool = False

    def architecture(self, convolutions: Sequence[Convolution], fc_units: int) -> Architecture:
        """One of these networks, by its sizes."""
        sizes = {"convolutions": convolutions, "fc_units": fc_units}
        return Architecture(**{**self.model_dump(), **sizes})


class SpaceSettings(Frozen):
    """The ranges that are searched, for every layer alike."""

    kernel: IntRange
    filters: Multiples
    fc_units: Multiples
    lr: FloatRange
    momentum: FloatRange
    l2: FloatRange
    multiply_adds: Annotated[float, Field(gt=0)] | None = None
    """The most that a proposed network may take to encode one image, if there is a limit."""


class SearchSettings(Frozen):
    """How the space is searched."""

    sampler: SamplerName = "tpe"
    startup_trials: Annotated[int, Field(ge=1)] = 10
    """Trials drawn at random before the sampler's model takes over."""
    pruner: PrunerName = "hyperband"
    pruner_warmup: Annotated[int, Field(ge=1)] = 1
    """The epoch, counted from 0, after which a trial can first be pruned."""
    pruner_factor: Annotated[int, Field(ge=2)] = 3
    """Of halving and Hyperband: one trial in this many is let past a rung."""
    seed: Seed = 0
    first: tuple[dict[str, int | float], ...] = ()
    """Parameters of the first trials; what one leaves out is sampled."""


class StudySettings(Frozen):
    """A whole study file."""

    description: str = ""
    data: DataChoice
    network: NetworkSettings
    space: SpaceSettings
    training: Training
    full_training: Mapping[str, Any] = Field(default_factory=dict)
    """Keys of ``training`` that are other when the best configuration is trained in full."""
    search: SearchSettings = SearchSettings()

    @model_validator(mode="after")
    def _can_be_built(self) -> Self:
        kernel, side = self.space.kernel, self.network.image_size
        if kernel.high > side:
            raise ValueError(f"space.kernel.high = {kernel.high} is above the {side}×{side} image")
        layer = Convolution(kernel=kernel.low, filters=self.space.filters.low)
        with _blaming("even the smallest network"):
            layers = [layer] * self.network.convolutions
            smallest = self.network.architecture(layers, self.space.fc_units.low)
        limit = self.space.multiply_adds
        if limit is not None and smallest.multiply_adds > limit:
            raise ValueError(
                f"space.multiply_adds = {limit:g}: even the smallest network "
                f"takes {smallest.multiply_adds:g}"
            )
        for edge in ("low", "high"):
            rates = {name: getattr(getattr(self.space, name), edge) for name in RATES}
            with _blaming(f"{edge} of a range in space"):
                LayerRates(**rates)
        with _blaming("full_training"):
            self.trained_in_full()
        return self

    def trained_in_full(self) -> Training:
        """The recipe of the full training: the trials' with the study's changes to it."""
        return Training.model_validate(_merged(self.training.model_dump(), self.full_training))


@contextmanager
def _blaming(part: str) -> Iterator[None]:
    """Name the part of the study file that what is built from it cannot be built for."""
    try:
        yield
    except ValidationError as error:
        raise ValueError(f"{part}: {first_problem(error)}") from error


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        inside = merged.get(key)
        both = isinstance(value, Mapping) and isinstance(inside, Mapping)
        merged[key] = _merged(inside, value) if both else value  # type: ignore[arg-type]
    return merged


def read_settings(path: Path, changes: Sequence[str] = ()) -> StudySettings:
    """Read a study file and apply changes to it.

    Args:
        path: the file.
        changes: ``key.of.table=value`` each, the value as TOML writes it (a bare word is text).

    Raises:
        SettingsError: no such file, not TOML, an unknown key, or a value that cannot be.
    """
    text = read_text(path, "name a study or give the path of a study file", SettingsError)
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not TOML ({error}): correct that line") from error
    except RecursionError as error:
        raise SettingsError(f"{path} nests its values too deeply: correct that") from error
    asked = parsed_changes(changes)
    if "data.path" in asked:  # changes are kept with a study, and a path is of one machine
        raise SettingsError("--set data.path is not kept: name the folder with --data")
    try:
        return _changed(content, asked)
    except ValidationError as error:
        problem = first_problem(error)
        try:
            unchanged = _changed(content, {})
        except ValidationError:
            raise SettingsError(f"{path}: {problem}: correct the study file") from error
        blamed, typed = _to_blame(content, asked), shlex.quote(str(path))
        raise SettingsError(
            f"--set {' and --set '.join(blamed)}: {problem}{_meant(blamed, keys_of(unchanged))}: "
            f"correct it; `hpo run {typed} --keys` lists all keys with their values"
        ) from error


def _changed(content: Mapping[str, Any], changes: Mapping[str, Any]) -> StudySettings:
    """The settings of a study file with changes; raises `ValidationError` where they cannot be."""
    changed = dict(content)
    for key, value in changes.items():
        _apply(key, value, changed)
    return StudySettings.model_validate(changed)


def _to_blame(content: Mapping[str, Any], changes: Mapping[str, Any]) -> list[str]:
    """The keys without whose change the settings would be valid; all keys if there is none."""
    blamed = []
    for key in changes:
        with suppress(ValidationError):
            _changed(content, {other: changes[other] for other in changes if other != key})
            blamed.append(key)
    return blamed or list(changes)


def _meant(asked: Sequence[str], known: Mapping[str, Any]) -> str:
    """For each key that does not exist, the nearest one that does, as the end of a sentence."""
    unknown = [key for key in asked if not any(f"{k}.".startswith(f"{key}.") for k in known)]
    close = [key for one in unknown for key in get_close_matches(one, known, 1)]
    return f", did you mean {' and '.join(close)}" if close else ""


def keys_of(settings: StudySettings) -> dict[str, Any]:
    """All keys of a study file with their values; those of the full training as they will be."""
    whole = settings.model_dump(mode="json")
    return dict(_flat({**whole, "full_training": settings.trained_in_full().model_dump()}))


def parsed_changes(changes: Sequence[str]) -> dict[str, Any]:
    """Changes by the key that each changes; the last of one key counts.

    Args:
        changes: as `read_settings` takes them.

    Raises:
        SettingsError: one is no ``key=value``.
    """
    parsed: dict[str, Any] = {}
    for change in changes:
        key, equals, text = change.partition("=")
        parts = [part.strip() for part in key.split(".")]
        if not equals or not all(parts):
            raise SettingsError(
                f"--set {change} is not KEY=VALUE: write it as --set training.epochs=5"
            )
        parsed[".".join(parts)] = _value(text)
    return parsed


def merged_changes(kept: Sequence[str], given: Sequence[str]) -> list[str]:
    """The changes that a study keeps, and those that are given now in place of any of their keys.

    Raises:
        SettingsError: one is no ``key=value``.
    """
    anew = parsed_changes(given).keys()
    return [*(one for one in kept if not parsed_changes([one]).keys() & anew), *given]


def _value(text: str) -> Any:
    with suppress(tomllib.TOMLDecodeError, RecursionError):
        return tomllib.loads(f"value = {text}")["value"]
    return text.strip()


def _apply(key: str, value: Any, content: dict[str, Any]) -> None:
    *tables, name = key.split(".")
    table = content
    for part in tables:
        inside = table.get(part)
        table[part] = dict(inside) if isinstance(inside, dict) else {}
        table = table[part]
    table[name] = value


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Where two nested settings differ: ``key: old → new`` each."""
    before, after = dict(_flat(old)), dict(_flat(new))
    differing = (key for key in before | after if before.get(key) != after.get(key))
    return [f"{key}: {before.get(key)} → {after.get(key)}" for key in differing]


def _flat(settings: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested settings, each by its ``key.of.table``."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{at}{key}.")
        else:
            yield f"{at}{key}", value
