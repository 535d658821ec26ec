"""The command that shows a study in a browser: dashboard."""

import webbrowser
from typing import Annotated

import typer

from hpo.cli.options import Results, Storage, StudyArgument
from hpo.cli.steps import opened_study, say
from hpo.study.paths import artifacts_folder
from hpo.view.dashboard import HOST, make_dashboard


def dashboard(
    study: StudyArgument = "paper",
    storage: Storage = None,
    results: Results = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free one.")] = 8080,
    writable: Annotated[bool, typer.Option(help="Let the page change and delete.")] = False,
    browser: Annotated[bool, typer.Option(help="Open the page.")] = True,
) -> None:
    """Show a study in a browser, on this machine alone.

    The page is that of optuna-dashboard.

    Example: hpo dashboard small
    """
    with opened_study(study, storage, read_only=not writable) as (place, stored):
        pictures = artifacts_folder(results or place.folder)
        server = make_dashboard(stored.storage, pictures, port, writable)
        number = stored.storage.get_study_id_from_name(stored.study.study_name)
    address = f"http://{HOST}:{server.server_port}/dashboard/studies/{number}"
    print(address, flush=True)
    if writable:
        say("writable: there is no login, so any program of this machine can change the study")
    say("Ctrl-C ends it")
    if browser:
        webbrowser.open(address)
    with server:
        server.serve_forever()
