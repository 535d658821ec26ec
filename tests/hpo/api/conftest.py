import pytest

from tests.hpo.command import Hpo


@pytest.fixture
def command(hpo: Hpo) -> Hpo:
    """The fixture ``hpo`` under a name that the package does not have."""
    return hpo
