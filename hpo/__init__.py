"""Bayesian hyper-parameter search for one-shot siamese networks."""


def __getattr__(name: str) -> str:
    """``__version__``, looked up when it is asked for: a command begins with this import."""
    if name != "__version__":
        raise AttributeError(f"module {__name__} has no attribute {name}")
    import tomllib
    from importlib.metadata import PackageNotFoundError, version
    from pathlib import Path

    try:
        return version("hpo-siamese")
    except PackageNotFoundError:  # a checkout that is not installed
        project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
        return str(project["project"]["version"])
