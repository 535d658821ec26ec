"""The command that trains one network: train; one that is stopped goes on."""

import shlex
from pathlib import Path
from typing import Annotated

import torch
import typer

from data.files import check_writable, writing
from hpo.cli.options import Data, Device, ThreadsOfCpu
from hpo.cli.steps import say
from hpo.results.full_training import inputs_of, train_in_full
from hpo.search.stopping import Stop
from hpo.view.format import epoch_line, percent
from hpo.workers.local import cores_for
from model.checkpoint import Checkpoint, CheckpointError, load_checkpoint
from model.configuration import Configuration, ConfigurationError, Provenance
from model.fast.device import computes_bf16, device_name, find_device, threads_in
from model.fast.threads import use_threads
from model.history import History, Interrupted
from model.inputs import Inputs


def train(
    configuration: Annotated[Path, typer.Argument(metavar="CONFIG", help="From hpo export.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="[default: CONFIG as .safetensors]")
    ] = None,
    as_trial: Annotated[
        bool, typer.Option(help="As the trial was trained, to get its error again.")
    ] = False,
    seed: Annotated[int | None, typer.Option(min=0, help="Instead of the configuration's.")] = None,
    networks: Annotated[
        int, typer.Option(min=1, max=99, help="Train several, a seed each from the first on.")
    ] = 1,
    force: Annotated[
        bool, typer.Option("--force", help="Train again where the checkpoint is there already.")
    ] = False,
    data: Data = None,
    device: Device = "auto",
    threads: ThreadsOfCpu = None,
) -> None:
    """Train a configuration in full, and write a checkpoint.

    The same line resumes it.

    Example: hpo train best.toml -o best.safetensors

    Example: hpo train best.toml --networks 3
    """
    config, where = Configuration.read(configuration), find_device(device)
    target = output or configuration.with_suffix(".safetensors")
    trial = config.provenance if as_trial else None
    if as_trial:
        if trial is None:
            raise ConfigurationError(
                f"{configuration} names no trial: leave --as-trial out, or export it again"
            )
        config = _as_trial(config, trial)
        if where.type == "cpu" and threads is None:
            known = threads_in(trial.device)
            threads = known if known and known <= cores_for(1) else None
    if seed is not None:
        config = config.model_copy(update={"seed": seed})
    wanted = _one_each(config, target, networks)
    line = f"hpo evaluate {shlex.join(map(str, wanted))}"
    for file in wanted:
        with writing(file, "give another place with -o", CheckpointError):
            check_writable(file)
    left = {file: one for file, one in wanted.items() if force or not _is_trained(file, one)}
    if not left:
        these = f"{target} is" if networks == 1 else "all of them are"
        raise CheckpointError(
            f"{these} already trained: score with `{line}`, or train again with --force"
        )
    asked = use_threads(threads)
    if trial:
        _say_what_differs(trial, where)
    inputs = inputs_of(config, data, where, asked)
    stop = Stop(None)  # of all: a signal that comes as one network ends stops the next
    for file, one in left.items():
        history = train_until_stopped(one, inputs, file, stop).history
        print(
            f"{file}: one-shot validation error {percent(history.best_error)} in epoch "
            f"{history.best_epoch + 1} of {len(history.epochs)}",
            flush=True,
        )
    say(f"score it with: {line}" if networks == 1 else f"score them with: {line}")


def _one_each(config: Configuration, target: Path, networks: int) -> dict[Path, Configuration]:
    """What is trained, by the file of its checkpoint: one seed after the other."""
    if networks == 1:
        return {target: config}
    return {
        target.with_stem(f"{target.stem}-{number + 1}"): config.model_copy(
            update={"seed": config.seed + number}
        )
        for number in range(networks)
    }


def _is_trained(target: Path, config: Configuration) -> bool:
    """Whether the checkpoint of a configuration is there.

    Raises:
        CheckpointError: something else is in its place.
    """
    if not target.exists():
        return False
    try:
        found = load_checkpoint(target, torch.device("cpu")).configuration
    except CheckpointError as error:
        raise CheckpointError(
            f"{target} is there and no checkpoint: name another file with -o"
        ) from error
    if found.recipe_key != config.recipe_key:
        raise CheckpointError(
            f"{target} holds the training of another configuration or seed: name another file with "
            "-o, or --force to lose what it holds"
        )
    return True


def _as_trial(config: Configuration, trial: Provenance) -> Configuration:
    """With the recipe, the seed and the arithmetic of the trial."""
    recipe = {"training": trial.training, "seed": trial.seed}
    return config.model_copy(update=recipe).with_training(precision=trial.precision)


def _say_what_differs(trial: Provenance, device: torch.device) -> None:
    """Say why the trial's error will not come again exactly, if it will not."""
    if device.type == "cuda" or trial.device != device_name(device):
        say(
            f"the trial ran on {trial.device}, this is {device_name(device)}: its error comes "
            "again nearly, not exactly"
        )
    if trial.precision == "bf16" and not computes_bf16(device):
        say("the trial was computed in bf16, which this device only imitates, and slowly")


def train_until_stopped(
    config: Configuration, inputs: Inputs, target: Path, stop: Stop | None = None
) -> Checkpoint:
    """Train a configuration as `train_in_full` does, and tell of every epoch.

    Raises:
        CheckpointError: a file cannot be written.
        Diverged: in the first epoch.
        typer.Exit: the training was stopped; the status is 130.
    """

    def on_epoch(history: History) -> None:
        say(epoch_line(history, config.training.epochs))

    try:
        return train_in_full(config, inputs, target, on_epoch, stop)
    except Interrupted as error:
        say(f"stopped by {error}; the same line goes on from here")
        raise typer.Exit(130) from error
