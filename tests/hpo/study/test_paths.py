from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.study.paths import (
    confirmation_folder,
    data_folder,
    find_configuration,
    find_study,
    is_plain_name,
    snapshots_folder,
    storage_named,
    storages,
)
from hpo.study.settings import SettingsError
from hpo.study.storage import open_storage
from model.configuration import DataChoice
from tests.hpo.tiny_study import write_tiny


@pytest.mark.parametrize("folder", [snapshots_folder, confirmation_folder])
@pytest.mark.parametrize("token", ["", ".", "..", "../../precious", "/etc", "a/b", "a\\b", "a\0b"])
def test_a_name_of_the_database_leads_to_no_other_folder(
    tmp_path: Path, folder: Callable[[Path, str], Path], token: str
) -> None:
    with pytest.raises(SettingsError, match="no name of a folder: somebody changed the database"):
        folder(tmp_path, token)


@pytest.mark.parametrize("token", ["0f2a", "my study", "Ünïcode", "a..b"])
def test_a_plain_name_is_a_folder_of_the_results(tmp_path: Path, token: str) -> None:
    assert snapshots_folder(tmp_path, token) == tmp_path / "snapshots" / token


@given(st.text(max_size=300) | st.text("./\\\0 ab", max_size=6))
def test_a_plain_name_never_leaves_its_folder(name: str) -> None:
    root = Path("/results/snapshots")
    if is_plain_name(name):
        assert (root / name).parent == root
        assert (root / name).name == name
        assert "\0" not in name
    else:
        with pytest.raises(SettingsError, match="no name of a folder"):
            snapshots_folder(Path("/results"), name)


def test_the_line_names_the_storage_then_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPO_STORAGE", "sqlite:///environment.db")
    assert storage_named("sqlite:///line.db") == "sqlite:///line.db"
    assert storages("sqlite:///line.db") == ["sqlite:///line.db"]
    assert storage_named(None) == "sqlite:///environment.db"
    monkeypatch.delenv("HPO_STORAGE")
    assert storage_named(None) is None


def test_the_data_is_where_the_line_says_then_the_file_then_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line, file, environment = (tmp_path / name for name in ("line", "file", "environment"))
    for folder in (line, file, environment):
        folder.mkdir()
    monkeypatch.setenv("HPO_DATA", str(environment))
    mine = DataChoice(set="folder", path=str(file))
    assert data_folder(line, mine) == line
    assert data_folder(None, mine) == file
    assert data_folder(None, DataChoice(set="folder")) == environment
    assert data_folder(None) == environment


def test_a_file_of_ones_own_takes_the_place_of_a_shipped_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HPO_STORAGE", raising=False)
    assert find_study("paper").is_shipped
    assert find_study("paper").url == "sqlite:///studies/paper/study.db"
    own = write_tiny(tmp_path / "studies", "paper")
    assert find_study("paper").file.resolve() == own.resolve()
    assert not find_study("paper").is_shipped
    mine = write_tiny(tmp_path / "studies/configurations", "omniglot")
    assert find_configuration("omniglot").resolve() == mine.resolve()


def test_a_study_file_has_its_results_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HPO_STORAGE", raising=False)
    write_tiny(tmp_path / "mine", "tiny")
    write_tiny(tmp_path, "here")
    for named, folder in (("mine/tiny.toml", "mine/tiny"), ("here.toml", "here")):
        place = find_study(named)
        assert (place.file, place.folder) == (Path(named), Path(folder))
        assert place.name == Path(folder).name
        assert place.url == f"sqlite:///{folder}/study.db"
        assert not place.is_shipped
    assert find_study("mine/tiny.toml", "sqlite:///a.db").url == "sqlite:///a.db"
    for absent in ("none.toml", "mine/none"):
        with pytest.raises(SettingsError, match=f"there is no study file {absent}: check the path"):
            find_study(absent)


def test_the_longest_name_of_a_folder_has_two_hundred_characters() -> None:
    assert is_plain_name("a" * 200)
    assert not is_plain_name("a" * 201)
    assert confirmation_folder(Path("there"), "a") == Path("there/confirmation/a")


def test_a_data_folder_may_be_in_ones_home_and_has_to_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "photos").mkdir()
    monkeypatch.setenv("HPO_DATA", "~/photos")
    assert data_folder(None) == tmp_path / "photos"
    monkeypatch.delenv("HPO_DATA")
    assert data_folder(None, DataChoice(set="folder", path="~/photos")) == tmp_path / "photos"
    assert data_folder(None) == data_folder(None, DataChoice(set="omniglot"))
    assert data_folder(None) == tmp_path / "cache/hpo"
    with pytest.raises(SettingsError, match="where the images are is not said: name their folder"):
        data_folder(None, DataChoice(set="folder"))
    for absent in (Path("nowhere"), Path(__file__)):
        with pytest.raises(SettingsError, match="the data folder .* does not exist: make it, or"):
            data_folder(absent)


@pytest.mark.parametrize("name", ["a?b", "a%20b", "a#b", "é"])
def test_a_database_is_beside_its_study_whatever_the_folder_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    file = Path(name) / "mine.toml"
    file.parent.mkdir()
    file.touch()
    place = find_study(str(file))
    place.folder.mkdir()
    open_storage(place.url, create=True)
    assert [path.name for path in place.folder.iterdir()] == ["study.db"]
    assert [path.name for path in tmp_path.iterdir()] == [name]
