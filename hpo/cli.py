"""Every command; the only place that prints and exits."""

from __future__ import annotations

import dataclasses
import json
import sys
import traceback
import warnings
import webbrowser
from pathlib import Path
from typing import Annotated, Any

import optuna
import torch
import typer

from data import omniglot
from data.download import download
from data.errors import DataError
from data.files import write_whole
from data.sets import SetName, open_set
from data.sheet import contact_sheet
from data.split import Split, split
from data.tasks import OneShotTasks, draw_tasks, find_official_runs
from hpo import __version__
from hpo.baselines import BASELINES, score_baseline
from hpo.dashboard import HOST, make_dashboard
from hpo.estimate import estimate
from hpo.evaluation import Score, evaluate_checkpoint, evaluation_tasks
from hpo.export import export_best
from hpo.places import StudyPlace, data_folder, find_study, storage_url
from hpo.progress import duration, make_progress, percent
from hpo.sampler import SpaceUsedUp
from hpo.search import search
from hpo.settings import PrunerName, SamplerName, SettingsError, read_settings
from hpo.space import SearchSpace
from hpo.status import mean_seconds, status
from hpo.study import (
    StoredStudy,
    StudyError,
    best_trial,
    create_or_resume,
    finished,
    load,
    open_storage,
    shown,
    storage_errors,
)
from hpo.trial import Objective, device_name
from model.checkpoint import Checkpoint, CheckpointError, load_checkpoint, save_checkpoint
from model.config import Configuration, ConfigurationError, DataChoice
from model.training import Diverged, Trainer, train

app = typer.Typer(
    help="Bayesian hyper-parameter search for one-shot siamese networks (Koch et al. 2015).",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(help="Look at, check or fetch the data.")
app.add_typer(data_app, name="data")

StudyArgument = Annotated[
    str, typer.Argument(metavar="[STUDY]", help="A name under studies/, or a study file's path.")
]
Storage = Annotated[
    str | None,
    typer.Option(help="Database URL.  [default: HPO_STORAGE, or study.db in the study's folder]"),
]
Data = Annotated[
    Path | None,
    typer.Option(help="Folder with the Omniglot zips.  [default: HPO_DATA, or ~/.cache/hpo]"),
]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1; auto takes a GPU if any.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class DeviceError(Exception):
    """A device that is not there. One sentence that says what to do."""


def _version(wanted: bool) -> None:
    if wanted:
        print(f"hpo {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option(help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Bayesian hyper-parameter search for one-shot siamese networks (Koch et al. 2015)."""


def say(message: str) -> None:
    """Tell the person; results go to stdout, all else here."""
    print(message, file=sys.stderr, flush=True)


@app.command()
def run(
    trials: Annotated[int, typer.Option(min=1, help="Finished trials that the study shall hold.")],
    study: StudyArgument = "paper",
    storage: Storage = None,
    data: Data = None,
    device: Device = "auto",
    sampler: Annotated[SamplerName | None, typer.Option(help="Instead of the study's.")] = None,
    pruner: Annotated[PrunerName | None, typer.Option(help="Instead of the study's.")] = None,
    seed: Annotated[int | None, typer.Option(help="Instead of the study's.")] = None,
    timeout: Annotated[float | None, typer.Option(min=0, help="Seconds until it stops.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the study."),
    ] = None,
) -> None:
    """Search: run trials until the study holds so many; the same line resumes it.

    Example: hpo run small --trials 20
    """
    place, where = find_study(study), _device(device)
    chosen = {"sampler": sampler, "pruner": pruner, "seed": seed}
    changes = [f"search.{key}={value}" for key, value in chosen.items() if value is not None]
    settings = read_settings(place.file, [*(set_ or []), *changes])
    SearchSpace(settings).checked_first()
    url = storage_url(storage, place)
    cut, fingerprint = _open_split(settings.data, settings.network.image_size, data)
    cut = dataclasses.replace(cut, train=cut.train.to(where))
    tasks = _validation_tasks(settings.data, cut, where)
    with storage_errors(url):
        database = open_storage(url, create=True)
        stored, created = create_or_resume(place.name, settings, fingerprint, database)
        _announce(stored, created, trials, url, cut, tasks, where)
        done, best = finished(stored.study), best_trial(stored.study)
        with make_progress(trials, done, best) as progress:
            reason = search(
                stored,
                lambda on_step: Objective(settings, cut, tasks, where, progress, on_step),
                trials,
                timeout,
                progress,
            )
        again = f"hpo run {study} --trials {trials}"
        if reason:
            say(f"stopped by {reason}; the study is whole, and the same line goes on: {again}")
        _print_best(stored, study)
        if reason and reason != "the time is up":
            raise typer.Exit(130)


def _announce(
    stored: StoredStudy,
    created: bool,
    trials: int,
    url: str,
    cut: Split,
    tasks: OneShotTasks,
    device: torch.device,
) -> None:
    """Say what is about to happen, and what it will cost here."""
    done, settings = finished(stored.study), stored.settings
    left = max(trials - done, 0)
    say(f"study    {stored.study.study_name} {'(new)' if created else '(resumed)'} in {shown(url)}")
    say(f"device   {device_name(device)}")
    say(
        f"data     {settings.data.set} at {settings.network.image_size}×"
        f"{settings.network.image_size}: {len(cut.train.alphabet_of)} characters to train on, "
        f"{len(tasks)} validation tasks"
    )
    if not left:
        say(f"trials   {done} finished, none left")
        return
    seconds = mean_seconds(stored)
    if seconds:
        cost = (
            f"about {duration(seconds * left)}, as the trials so far took {duration(seconds)} each"
        )
    else:
        guess = estimate(stored.space, cut.train, tasks, device)
        cost = (
            f"up to {duration(guess.trial * left)}, or {duration(guess.trial)} a trial that is not "
            f"pruned ({duration(guess.step)} a step)"
        )
        if device.type == "cpu" and guess.trial > 3600:
            say("         it is made for a GPU; for a CPU there is: hpo run small --trials 20")
    say(f"trials   {done} finished, {left} left: {cost}")


def _print_best(stored: StoredStudy, study: str) -> None:
    best = best_trial(stored.study)
    if best is None or best.value is None:
        print("no trial has trained to its end yet")
        return
    network = stored.space.configuration(best.params, 0).network
    print(f"best trial {best.number}: one-shot validation error {percent(best.value)}")
    for layer, convolution in zip(network.layers, network.convolutions, strict=False):
        kernel = f"{convolution.kernel}×{convolution.kernel}"
        print(f"  {layer:6} {convolution.filters} filters of {kernel}")
    print(f"  fc     {network.fc_units} units")
    weights, cost = network.weights / 1e6, network.multiply_adds / 1e6
    print(f"  {weights:.2f} M weights, {cost:.1f} M multiply-adds an image")
    print(f"its configuration: hpo export {study}")
    print(f"all trials in a browser: hpo dashboard {study}")


@app.command("status")
def status_command(
    study: StudyArgument = "paper", storage: Storage = None, json_: AsJson = False
) -> None:
    """Show how far a study is: trials by state, the best so far, the rate, the time left.

    Example: hpo status small --json
    """
    place = find_study(study)
    url = storage_url(storage, place)
    with storage_errors(url):
        figures = status(_load(place, url))
    if json_:
        print(json.dumps(figures, indent=2))
        return
    states = ", ".join(f"{count} {state}" for state, count in figures["trials"].items() if count)
    done, wanted = figures["finished"], figures["wanted"]
    print(f"{figures['study']}: {done} of {wanted} trials finished ({states or 'none yet'})")
    if figures["best"]:
        print(f"best: {percent(figures['best']['error'])} error, trial {figures['best']['trial']}")
    if figures["trials_per_hour"]:
        print(
            f"rate: {figures['trials_per_hour']:.1f} trials an hour, "
            f"{duration(figures['seconds_per_trial'])} each, {duration(figures['seconds_left'])} left"
        )


@app.command()
def dashboard(
    study: StudyArgument = "paper",
    storage: Storage = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free one.")] = 8080,
    writable: Annotated[bool, typer.Option(help="Let the page change and delete.")] = False,
    browser: Annotated[bool, typer.Option(help="Open the page.")] = True,
) -> None:
    """Show a study in a browser, with optuna-dashboard, on this machine alone.

    Example: hpo dashboard small
    """
    place = find_study(study)
    url = storage_url(storage, place)
    with storage_errors(url):
        stored = _load(place, url)
        server = make_dashboard(stored.storage, port, writable)
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


@app.command()
def export(
    study: StudyArgument = "paper",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Instead of stdout.")
    ] = None,
    storage: Storage = None,
) -> None:
    """Write the best trial as a configuration: layers, rates, recipe, data, where it is from.

    Example: hpo export small -o best.toml
    """
    place = find_study(study)
    url = storage_url(storage, place)
    with storage_errors(url):
        text = export_best(_load(place, url)).to_toml()
    if output is None:
        print(text, end="")
        return
    try:
        write_whole(output, text.encode())
    except OSError as error:
        raise ConfigurationError(
            f"{output} cannot be written ({error.strerror}): give another place with -o"
        ) from error
    say(f"wrote {output}; train it with: hpo train {output}")


@app.command("train")
def train_command(
    configuration: Annotated[Path, typer.Argument(metavar="CONFIG", help="From hpo export.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="[default: CONFIG as .safetensors]")
    ] = None,
    as_trial: Annotated[
        bool, typer.Option(help="With the trial's own seed and budget, to get its error again.")
    ] = False,
    seed: Annotated[int | None, typer.Option(help="Instead of the configuration's.")] = None,
    data: Data = None,
    device: Device = "auto",
) -> None:
    """Train a configuration in full, and write a checkpoint.

    Example: hpo train best.toml -o best.safetensors
    """
    config, where = Configuration.read(configuration), _device(device)
    target = output or configuration.with_suffix(".safetensors")
    changes: dict[str, Any] = {}
    if as_trial:
        if config.provenance is None:
            raise ConfigurationError(
                f"{configuration} names no trial: leave --as-trial out, or export it anew"
            )
        changes = {"training": config.provenance.training, "seed": config.provenance.seed}
    if seed is not None:
        changes["seed"] = seed
    config = config.model_copy(update=changes)
    cut, fingerprint = _open_split(config.data, config.network.image_size, data)
    if config.provenance and config.provenance.data_fingerprint != fingerprint:
        say(f"the data is not the trial's: {config.provenance.data_fingerprint} → {fingerprint}")
    tasks = _validation_tasks(config.data, cut, where)
    trainer = Trainer(config, cut.train.to(where), tasks, where)

    def on_epoch(number: int, error: float) -> None:
        epoch = trainer.history.epochs[-1]
        say(
            f"epoch {number}: error {percent(error)}, best {percent(trainer.history.best_error)}, "
            f"loss {epoch.loss:.4f}, {epoch.pairs / epoch.train_seconds:,.0f} pairs/s"
        )

    network, history = train(trainer, on_epoch), trainer.history
    save_checkpoint(target, Checkpoint(network, config, history, fingerprint))
    print(
        f"{target}: one-shot validation error {percent(history.best_error)} in epoch "
        f"{history.best_epoch} of {len(history.epochs)}"
    )


@app.command()
def evaluate(
    checkpoint: Annotated[Path, typer.Argument(help="From hpo train.")],
    runs: Annotated[Path | None, typer.Option(help="Runs in the official format.")] = None,
    data: Data = None,
    device: Device = "auto",
    json_: AsJson = False,
) -> None:
    """Score a checkpoint on the 400 evaluation tasks, which no search ever sees.

    Example: hpo evaluate best.safetensors
    """
    where = _device(device)
    loaded = load_checkpoint(checkpoint, where)
    tasks = _evaluation_tasks(loaded.configuration.data, runs, data)
    _print_scores([evaluate_checkpoint(loaded, tasks, where)], json_)


@app.command()
def baselines(
    runs: Annotated[Path | None, typer.Option(help="Runs in the official format.")] = None,
    only: Annotated[str | None, typer.Option(help=f"One of {', '.join(BASELINES)}.")] = None,
    data: Data = None,
    json_: AsJson = False,
) -> None:
    """Score what needs no training on the 400 evaluation tasks.

    Example: hpo baselines --only nearest-neighbour
    """
    if only is not None and only not in BASELINES:
        raise SettingsError(f"there is no baseline {only}: name one of {', '.join(BASELINES)}")
    tasks = _evaluation_tasks(DataChoice(set="omniglot"), runs, data)
    _print_scores([score_baseline(n, tasks) for n in BASELINES if only in (None, n)], json_)


def _print_scores(scores: list[Score], as_json: bool) -> None:
    if as_json:
        print(json.dumps([dataclasses.asdict(s) for s in scores], indent=2))
        return
    for one in scores:
        low, high = one.interval
        print(
            f"{one.name}: {percent(one.accuracy)} correct "
            f"(95 % interval {percent(low)} to {percent(high)}) on {one.source}"
        )


@data_app.command()
def show(
    name: Annotated[
        SetName, typer.Argument(metavar="[SET]", help="omniglot or strokes.")
    ] = "omniglot",
    output: Annotated[Path, typer.Option("--output", "-o", help="A PNG file.")] = Path("sheet.png"),
    data: Data = None,
    alphabets: Annotated[int, typer.Option(min=1)] = 4,
    characters: Annotated[int, typer.Option(min=1, help="Of each alphabet.")] = 5,
) -> None:
    """Draw a contact sheet: a row a character, a column a drawer.

    Example: hpo data show strokes -o strokes.png
    """
    drawings = open_set(name, 0, data_folder(data), say)
    picture = contact_sheet(drawings, alphabets, characters, len(drawings.drawers))
    try:
        picture.save(output, format="PNG")
    except OSError as error:
        raise DataError(f"{output} cannot be written ({error}): give another with -o") from error
    say(f"wrote {output}")


@data_app.command()
def check(data: Data = None) -> None:
    """Read Omniglot and say what is there.

    Example: hpo data check --data ~/omniglot
    """
    folder = data_folder(data)
    drawings = omniglot.load(folder)
    official = drawings.fingerprint == omniglot.OFFICIAL_FINGERPRINT
    runs = find_official_runs(folder)
    print(f"{folder}: {len(drawings.alphabets)} alphabets, {len(drawings.alphabet_of)} characters")
    kind = "the official ones" if official else "NOT the official ones"
    print(f"images: {drawings.fingerprint}, {kind}")
    print(f"official one-shot runs: {runs or 'not here; evaluation draws its tasks at random'}")


@data_app.command("download")
def download_command(data: Data = None) -> None:
    """Fetch Omniglot (MIT licence, Lake et al. 2015) and its one-shot runs.

    Example: hpo data download --data ~/omniglot
    """
    folder = data or data_folder(None)
    download(folder, say)
    print(folder)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"--device {name} is no device: name cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise DeviceError(f"--device {name} is not supported: name cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DeviceError(
            f"--device {name}: this machine has {torch.cuda.device_count()} CUDA devices that "
            "PyTorch can use: leave --device out, or name cpu"
        )
    return device


def _load(place: StudyPlace, url: str) -> StoredStudy:
    return load(place.name, open_storage(url, create=False))


def _open_split(choice: DataChoice, side: int, data: Path | None) -> tuple[Split, str]:
    drawings = open_set(choice.set, choice.seed, data_folder(data), say)
    return split(drawings.resized(side)), drawings.fingerprint


def _validation_tasks(choice: DataChoice, cut: Split, device: torch.device) -> OneShotTasks:
    return draw_tasks(cut.validation, choice.validation_tasks, choice.task_seed).to(device)


def _evaluation_tasks(choice: DataChoice, runs: Path | None, data: Path | None) -> OneShotTasks:
    folder = data_folder(data)
    return evaluation_tasks(choice, folder, runs, say)


def main() -> None:
    """Run the command line: a person's mistake is one sentence and exit status 2."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    try:
        sys.exit(app(standalone_mode=False))
    except (
        CheckpointError,
        ConfigurationError,
        DataError,
        DeviceError,
        Diverged,
        SettingsError,
        SpaceUsedUp,
        StudyError,
    ) as error:
        _fail(str(error))
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "hpo"
        _fail(f"{error.format_message().rstrip('.')}: see {command} --help")
    except (KeyboardInterrupt, typer.Abort):
        say("hpo: interrupted")
        sys.exit(130)


def _fail(sentence: str) -> None:
    if "--debug" in sys.argv:
        traceback.print_exc()
    say(f"hpo: {sentence}")
    sys.exit(2)
