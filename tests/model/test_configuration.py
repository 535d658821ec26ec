import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError
from syrupy.assertion import SnapshotAssertion

from model.configuration import Configuration, ConfigurationError, DataChoice
from model.recipe import AllPairs, RandomPairs
from tests.model.schema import schema_lines
from tests.model.tiny import exported, tiny_configuration


def test_toml_and_back_is_the_same() -> None:
    configuration = tiny_configuration()
    assert Configuration.from_toml(configuration.to_toml(), "x") == configuration


def test_the_recipe_key_holds_what_bears_on_the_training() -> None:
    one = tiny_configuration()
    others = [
        tiny_configuration(seed=3),
        tiny_configuration(epochs=9),
        tiny_configuration(sampling=RandomPairs()),
        tiny_configuration(sampling=AllPairs()),
        one.model_copy(update={"data": one.data.model_copy(update={"task_seed": 5})}),
        one.model_copy(update={"network": one.network.model_copy(update={"fc_units": 33})}),
        one.model_copy(
            update={"rates": one.rates | {"fc": one.rates["fc"].model_copy(update={"lr": 0.5})}}
        ),
    ]
    keys = {c.recipe_key for c in (one, *others)}
    assert len(keys) == 8
    assert Configuration.from_toml(one.to_toml(), "x").recipe_key == one.recipe_key
    assert exported(one).recipe_key == one.recipe_key


@pytest.mark.parametrize(
    "groups",
    [
        {"validation_groups": ("a", "b"), "evaluation_groups": ("c", "b")},
        {"validation_groups": ("a",)},
        {"evaluation_groups": ("a",)},
    ],
)
def test_groups_that_are_held_out_are_two_lists_without_a_common_one(
    groups: dict[str, tuple[str, ...]],
) -> None:
    with pytest.raises(ValidationError, match="are two lists of different groups, or both left"):
        DataChoice.model_validate({"set": "folder", **groups})


def test_the_keys_of_a_configuration(snapshot: SnapshotAssertion) -> None:
    """Their kinds, bounds and defaults."""
    assert "\n".join(schema_lines(Configuration)) == snapshot


def test_tasks_are_counted_in_whole_draws() -> None:
    choice = DataChoice(set="strokes", way=7, validation_tasks=70)
    assert [choice.whole_draws(count) for count in (1, 7, 13, 14, 400)] == [7, 7, 7, 14, 399]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("fc_units = 32", "fc_units = 32\nwidth = 3", "unknown key network.width"),
        ("fc_units = 32", "fc_units = 0", "network.fc_units = 0: input should be greater"),
        ("fc_units = 32\n", "", "the key network.fc_units is missing"),
        ("kernel = 3", "kernel = 30", "kernel=30 does not fit: layer conv1 sees a 20×20 map"),
        ("[rates.out]", "[rates.conv9]", "rates are for conv1, conv2, conv9, fc where"),
        (
            "[rates.out]",
            "[rates.conv3]\nlr = 0.1\nmomentum = 0.5\nl2 = 0.0\n\n[rates.out]",
            "rates are for conv1, conv2, conv3, fc, out where",
        ),
        ("fc_units = 32", "fc_units = = 32", "is not TOML"),
        ('set = "strokes"', 'set = "mnist"', "data.set = 'mnist'"),
        (
            'set = "strokes"\nseed = 0\nall_drawers = false',
            'set = "folder"\nseed = 0\nall_drawers = true',
            "data: all_drawers is of Omniglot",
        ),
        ("averaging = 0.0", "averaging = 1.1", "training.averaging = 1.1: input should be less"),
    ],
)
def test_what_is_wrong_is_one_sentence(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = tiny_configuration().to_toml()
    assert old in text
    file = tmp_path / "c.toml"
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigurationError, match=message) as raised:
        Configuration.read(file)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Configuration.read(tmp_path / "none.toml")
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="not text"):
        Configuration.read(tmp_path / "b.toml")


def test_the_document_is_plain_toml() -> None:
    document = tomllib.loads(tiny_configuration().to_toml())
    assert document["network"]["convolutions"][0] == {"kernel": 3, "filters": 16}
    assert document["training"]["sampling"]["kind"] == "all-pairs"
