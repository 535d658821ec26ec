"""Bayesian hyper-parameter search for one-shot siamese networks."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpo.api import (
        TrainedNetwork,
        UserError,
        best_configuration,
        load_checkpoint,
        load_study,
        train,
        trials_dataframe,
    )

__all__ = [
    "TrainedNetwork",
    "UserError",
    "best_configuration",
    "load_checkpoint",
    "load_study",
    "train",
    "trials_dataframe",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    """``__version__`` or a name of `hpo.api`, loaded when asked for: a command begins with this."""
    if name == "__version__":
        return _version()
    if name not in __all__:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    check_names()
    from hpo import api

    return getattr(api, name)


def _version() -> str:
    import tomllib
    from importlib.metadata import PackageNotFoundError, version
    from pathlib import Path

    try:
        return version("hpo-siamese")
    except PackageNotFoundError:  # a checkout that is not installed
        project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
        return str(project["project"]["version"])


def check_names() -> None:
    """See that `model` and `data` are this project's: a script's own stand before them.

    Raises:
        ImportError: one is another file's; one sentence that names it.
    """
    from importlib.util import find_spec
    from pathlib import Path

    for name in ("model", "data"):
        spec = find_spec(name)
        found = Path(spec.origin) if spec and spec.origin else None
        if found and found.resolve().parent != Path(__file__).resolve().parents[1] / name:
            raise ImportError(
                f"{found} stands in the place of hpo's own package {name}: rename it, or work in "
                "another folder"
            )
