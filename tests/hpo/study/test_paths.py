from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.study.paths import confirmation_folder, is_plain_name, snapshots_folder
from hpo.study.settings import SettingsError


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
