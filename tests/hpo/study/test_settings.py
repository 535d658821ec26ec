from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from hpo.study.settings import (
    SettingsError,
    StudySettings,
    differences,
    keys_of,
    merged_changes,
    read_settings,
)
from hpo.study.space import SearchSpace
from model.configuration import Configuration, ConfigurationError
from tests.hpo.tiny_study import tiny_settings, write_tiny
from tests.model.schema import schema_lines

SHIPPED = sorted((Path(__file__).parents[3] / "studies").glob("*.toml"))


@pytest.mark.parametrize("file", SHIPPED, ids=lambda f: f.stem)
def test_the_shipped_studies_are_valid(file: Path) -> None:
    settings = read_settings(file)
    SearchSpace(settings).checked_first()
    assert settings.description
    assert settings.trained_in_full().epochs >= settings.training.epochs


def test_the_studies_are_shipped() -> None:
    assert {"classic", "demo", "images", "modern", "paper", "small"} == {f.stem for f in SHIPPED}


def test_the_keys_of_a_study_file(snapshot: SnapshotAssertion) -> None:
    """Their kinds, bounds and defaults; those of a configuration are tested there."""
    shared = set(schema_lines(Configuration))
    assert "\n".join(key for key in schema_lines(StudySettings) if key not in shared) == snapshot


def test_a_classic_trial_is_the_beginning_of_its_full_training() -> None:
    classic = read_settings(next(f for f in SHIPPED if f.stem == "classic"))
    begun = {"epochs": classic.training.epochs, "patience": classic.training.patience}
    assert classic.trained_in_full().model_copy(update=begun) == classic.training
    sampling = classic.training.sampling
    assert sampling.kind == "random-pairs"
    pairs = (sampling.steps or 0) * sampling.batch
    assert pairs * classic.training.epochs >= 300_000
    assert pairs * (classic.search.pruner_warmup + 1) > 160_000  # by then networks have begun


def test_paper_holds_the_papers_ranges() -> None:
    settings = read_settings(next(f for f in SHIPPED if f.stem == "paper"))
    space = settings.space
    assert (space.kernel.low, space.kernel.high) == (3, 20)
    assert (space.filters.low, space.filters.high) == (16, 256)
    assert (space.fc_units.low, space.fc_units.high) == (128, 4096)
    assert (space.lr.low, space.lr.high, space.lr.log) == (1e-4, 1e-1, True)
    assert (space.momentum.low, space.momentum.high) == (0, 1)
    assert 0 < space.l2.low < 1e-5
    assert space.l2.high == 0.1
    assert settings.network.image_size == 105
    assert settings.network.convolutions == 4
    assert settings.network.initial_weights == "paper"
    sampling = settings.training.sampling
    assert sampling.kind == "random-pairs"
    assert (sampling.pairs, sampling.copies, sampling.batch) == (30_000, 8, 128)
    training, whole = settings.training, 30_000 * 9 / 128  # steps of an epoch of the paper
    each = (sampling.steps or 0) / whole
    assert each == pytest.approx(1 / 3, abs=0.001)  # trials are compared more often
    assert training.epochs * each == pytest.approx(200, abs=0.1)
    assert training.patience * each == pytest.approx(20, abs=0.1)
    assert training.lr_decay ** (1 / each) == pytest.approx(0.99, abs=1e-5)
    assert training.momentum_ramp * each == pytest.approx(1, abs=0.001)
    assert settings.data.validation_tasks == 320


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("training.epoch=5", "unknown key training.epoch"),
        ("space.kernel.high=40", "space.kernel.high = 40 is above the 20×20 image"),
        ("space.kernel={ low = 12, high = 15 }", "kernel=12 does not fit: layer conv2 sees a 4×4"),
        ("space.filters.low=20", "space.filters.low: 20 is not a multiple of 16"),
        ("space.fc_units.high=100", "100 is not a multiple of 16"),
        ("space.lr.low=0.5", "low=0.5 is above high=0.1"),
        ("space.lr.low=0", "cannot be log: raise low above 0"),
        ("search.sampler=bayes", "search.sampler = 'bayes'"),
        ("training.epochs=0", "training.epochs = 0"),
        ("training.sampling.kind=some", "training.sampling"),
        ("full_training.epoch=4", "full_training: unknown key epoch"),
        ("data.validation_tasks=30", "validation_tasks = 30 is not a multiple of way = 20"),
        ("space.momentum.high=1.2", "high of a range in space: momentum = 1.2"),
        ("space.multiply_adds=1000", "space.multiply_adds = 1000: even the smallest network takes"),
        ("search.opening={ multiply_adds = 1e6, trials = 9 }", "unknown key search.opening"),
        ("search.sampler=cmaes", "search.sampler = 'cmaes': input should be 'tpe'"),
        ("search.pruner=wilcoxon", "search.pruner = 'wilcoxon': input should be 'hyperband'"),
        ("space.lr.high=inf", "space.lr.high"),
        ("search.seed=-1", "search.seed = -1"),
        ("network.image_size=nine", "network.image_size = 'nine'"),
    ],
)
def test_a_bad_setting_is_one_sentence(tmp_path: Path, change: str, message: str) -> None:
    with pytest.raises(SettingsError) as raised:
        tiny_settings(tmp_path, change)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "begins"),
    [
        (["training.epochs=4", "training.epoch=5"], "--set training.epoch: unknown key training."),
        (["training.epochs=0"], "--set training.epochs: training.epochs = 0: input should be"),
        (["space.kernel.high=50"], "--set space.kernel.high: space.kernel.high = 50 is above the"),
        (["training.epochs=0", "search.seed=-1"], "--set training.epochs and --set search.seed: "),
        (["space.kernel={ low = 12, high = 15 }"], "--set space.kernel: even the smallest network"),
        (
            ["network.channels=3", "network.framed=true"],
            "--set network.channels and --set network.framed: even the smallest network: framed = ",
        ),
    ],
)
def test_the_change_that_cannot_be_is_named(
    tmp_path: Path, changes: list[str], begins: str
) -> None:
    file = write_tiny(tmp_path, "my study")
    with pytest.raises(SettingsError) as raised:
        read_settings(file, changes)
    said = str(raised.value)
    assert said.startswith(begins)
    assert said.endswith(f"correct it; `hpo run '{file}' --keys` lists all keys with their values")
    assert "study file" not in said


@pytest.mark.parametrize(
    ("change", "meant"),
    [
        ("training.epoch=5", ", did you mean training.epochs:"),
        ("trainings.epochs=5", ", did you mean training.epochs:"),
        ("search.samplers=tpe", ", did you mean search.sampler:"),
        ("full_training.epoch=5", ", did you mean full_training.epochs:"),
        ("nonsense=5", "unknown key nonsense:"),
        ("training.epochs=0", "greater than or equal to 1:"),
        ("space.kernel=5", "IntRange:"),
    ],
)
def test_an_unknown_key_is_told_from_what_was_meant(
    tmp_path: Path, change: str, meant: str
) -> None:
    with pytest.raises(SettingsError) as raised:
        tiny_settings(tmp_path, change)
    assert f"{meant} correct it" in str(raised.value)


def test_a_study_file_that_is_wrong_by_itself_is_named(tmp_path: Path) -> None:
    file = write_tiny(tmp_path, **{"epochs = 3": "epoch = 3"})
    with pytest.raises(SettingsError, match="tiny.toml: unknown key training.epoch: correct the"):
        read_settings(file, ["search.seed=1"])


def test_changes_that_are_given_take_the_place_of_those_that_are_kept() -> None:
    kept = ["training.epochs = 5", "search.seed=3", "space.kernel.high=7"]
    assert merged_changes(kept, []) == kept
    given = ["search.seed=4", "space.kernel={ low = 3, high = 5 }"]
    assert merged_changes(kept, given) == [kept[0], kept[2], *given]
    assert merged_changes([], given) == given


def test_the_keys_are_what_a_change_may_name(tmp_path: Path) -> None:
    settings = tiny_settings(tmp_path, "search.first=[{ fc_units = 128 }]")
    keys = keys_of(settings)
    assert keys["training.epochs"] == 3
    assert keys["full_training.epochs"] == 4
    assert keys["full_training.momentum_ramp"] == 2
    assert keys["space.multiply_adds"] is None
    assert keys["training.sampling.steps"] == 4
    assert keys["search.first"] == [{"fc_units": 128}]


def test_changes_are_read_as_toml_or_as_text(tmp_path: Path) -> None:
    settings = tiny_settings(
        tmp_path, "training.epochs=5", "search.sampler=tpe", 'search.pruner = "median"'
    )
    assert settings.training.epochs == 5
    assert settings.search.sampler == "tpe"
    assert settings.search.pruner == "median"
    assert settings.training.sampling.kind == "all-pairs"


@pytest.mark.parametrize("change", ["training.epochs", "=5", "training..epochs=5"])
def test_a_change_that_is_no_assignment(tmp_path: Path, change: str) -> None:
    with pytest.raises(SettingsError, match="is not KEY=VALUE"):
        tiny_settings(tmp_path, change)


def test_a_file_that_is_absent_or_no_toml(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        read_settings(tmp_path / "none.toml")
    with pytest.raises(SettingsError, match="is not TOML"):
        read_settings(write_tiny(tmp_path, **{"[data]": "[data"}))


def test_full_training_changes_only_what_it_names(tmp_path: Path) -> None:
    settings = tiny_settings(tmp_path)
    full = settings.trained_in_full()
    assert full.epochs == 4
    assert full.model_copy(update={"epochs": 3}) == settings.training


def test_differences_are_named_by_their_path() -> None:
    old = {"a": {"b": 1, "c": 2}, "d": 3}
    new = {"a": {"b": 1, "c": 5}, "e": 4}
    assert differences(old, new) == ["a.c: 2 → 5", "d: 3 → None", "e: None → 4"]
    assert differences(old, old) == []


def test_values_that_are_nested_deeply_are_one_sentence(tmp_path: Path) -> None:
    file = write_tiny(tmp_path)
    deep = "[" * 9000
    file.write_text(f"description = {deep}\n" + file.read_text())
    with pytest.raises(SettingsError, match="tiny.toml nests its values too deeply"):
        read_settings(file)
    with pytest.raises(ConfigurationError, match="best.toml is nested too deeply"):
        Configuration.from_toml(f"seed = {deep}", "best.toml")
    plain = write_tiny(tmp_path)
    with pytest.raises(SettingsError, match="data.seed = "):
        read_settings(plain, [f"data.seed={deep}"])
