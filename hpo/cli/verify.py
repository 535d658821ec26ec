"""The command that measures the paper's verification table: verify."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from data.files import check_writable, writing
from hpo.cli.options import AsJson, Data, Device, ThreadsOfCpu
from hpo.cli.steps import print_json, print_table, say
from hpo.paper.published import VERIFICATION
from hpo.paper.verification import (
    CELLS,
    COPIES,
    PAIRS,
    Cell,
    Result,
    cell_configuration,
    fingerprint,
    keep_result,
    read_results,
    verify_cell,
)
from hpo.results.full_training import inputs_of
from hpo.search.cost_estimate import estimate_one
from hpo.search.stopping import Stop
from hpo.study.settings import SettingsError
from hpo.view.format import duration, epoch_line, percent, shape
from model.configuration import Configuration
from model.fast.device import device_name, find_device
from model.fast.threads import use_threads
from model.history import History, Interrupted
from model.inputs import Inputs
from model.recipe import Training
from model.snapshot import Snapshot

RESULTS = "verification.json"
UNWRITABLE = "see to the disk and type the same line, or name another folder with -o"


Planned = Mapping[str, tuple[Cell, Configuration]]
"""Cells with their configurations, by the fingerprint of the two and the data."""


def verify(
    configuration: Annotated[Path, typer.Argument(metavar="CONFIG", help="From hpo export.")],
    steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Training steps of every cell, at the most, over the configuration's epochs.  "
            "[default: every epoch is the whole set]",
        ),
    ] = None,
    cells: Annotated[
        str | None,
        typer.Option(
            help="Some of the six: 30k,90k,150k, each also with +distortions.  [default: all]"
        ),
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(
            "--results", "-o", help="Folder of the results.  [default: CONFIG as .verification]"
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Instead of the configuration's.")] = None,
    data: Data = None,
    device: Device = "auto",
    threads: ThreadsOfCpu = None,
    json_: AsJson = False,
) -> None:
    """Train on six sets of pairs, and measure verification accuracy.

    They are of 30, 90 and 150 thousand pairs, plain and distorted. The same line resumes it. The
    validation alphabets choose the threshold; each cell looks at the evaluation alphabets once.

    Example: hpo verify best.toml --steps 4000
    """
    chosen = _chosen(cells)
    config, where = Configuration.read(configuration), find_device(device)
    if seed is not None:
        config = config.model_copy(update={"seed": seed})
    configurations = [cell_configuration(config, cell, steps) for cell in chosen]
    folder = results or configuration.with_suffix(".verification")
    file = folder / RESULTS
    kept = read_results(file)
    with writing(file, UNWRITABLE):
        check_writable(file)
    inputs = inputs_of(config, data, where, use_threads(threads))
    keys = [fingerprint(one, inputs.fingerprint) for one in configurations]
    cells_of = zip(chosen, configurations, strict=True)
    todo = {key: one for key, one in zip(keys, cells_of, strict=True) if key not in kept}
    say(f"network  {shape(config.network)} at {config.network.image_size} pixels")
    say(f"device   {device_name(where)}")
    if config.training.sampling.kind != "random-pairs":
        say(f"pairs    random ones, where {configuration} trains on all pairs of a batch")
    say(f"budget   {_budget(configurations[0].training)}")
    left = f"{len(keys) - len(todo)} of {len(keys)} done, {len(todo)} left"
    if todo:
        cost = sum(estimate_one(one, inputs).trial for _, one in todo.values())
        say(f"cells    {left}: up to {duration(cost)}")
        _work(todo, inputs, folder)
    else:
        say(f"cells    {left}")
    kept = read_results(file)
    published = VERIFICATION if config.data.set == "omniglot" else {}
    _print([kept[key] for key in keys], published, json_)


def _chosen(names: str | None) -> list[Cell]:
    """The cells of ``--cells``, in the order of the table."""
    if names is None:
        return list(CELLS.values())
    asked = [name.strip() for name in names.split(",")]
    for name in asked:
        if name not in CELLS:
            raise SettingsError(f"there is no cell {name!r}: name some of {','.join(CELLS)}")
    return [cell for cell in CELLS.values() if cell.name in asked]


def _budget(training: Training) -> str:
    epochs, steps = training.epochs, training.sampling.steps
    if steps is None:
        return f"{epochs} epochs of the whole set, patience {training.patience}"
    return f"{epochs * steps:,} steps a cell: {epochs} epochs of {steps:,}"


def _work(todo: Planned, inputs: Inputs, folder: Path) -> None:
    """Measure the cells that are left, each kept as soon as it is done."""
    stop = Stop(None)
    try:
        with writing(folder, UNWRITABLE), stop.on_signals():
            for number, (key, (cell, configuration)) in enumerate(todo.items(), start=1):
                stop.check()
                snapshot = Snapshot(folder / f"{cell.name}-{key}.unfinished")
                say_epoch = partial(_say_epoch, cell.name, configuration.training.epochs)
                result = verify_cell(cell, configuration, inputs, snapshot, say_epoch, stop.check)
                keep_result(folder / RESULTS, key, result)
                snapshot.remove()
                if result.diverged:
                    say(f"{cell.name}: {result.diverged}; the best epoch before is measured")
                say(
                    f"{cell.name}: accuracy {_fine(result.accuracy)}, one-shot error "
                    f"{percent(result.one_shot_error)}, in {duration(result.seconds)}; "
                    f"{len(todo) - number} left"
                )
    except Interrupted as error:
        say(f"stopped by {error}; what is done is kept, and the same line goes on from here")
        raise typer.Exit(130) from error


def _say_epoch(name: str, epochs: int, history: History) -> None:
    say(f"{name}, {epoch_line(history, epochs)}")


def _print(results: list[Result], published: Mapping[str, float], as_json: bool) -> None:
    if as_json:
        figures = [(one.model_dump(mode="json"), published.get(one.cell)) for one in results]
        print_json([{**measured, "published": beside} for measured, beside in figures])
        return
    beside = ("95 % interval", "published")
    header = ("pairs", "without distortions", *beside, f"with {COPIES} distorted copies", *beside)
    by_cell = {(one.pairs, one.copies): one for one in results}
    rows = [
        (
            f"{pairs:,}",
            *_cells(by_cell, pairs, 0, published),
            *_cells(by_cell, pairs, COPIES, published),
        )
        for pairs in dict.fromkeys(one.pairs for one in results)
    ]
    print_table(
        f"Verification accuracy on {PAIRS:,} pairs of the evaluation alphabets", header, rows
    )
    say(
        "the threshold is that of as many pairs of the validation alphabets; different pairs are "
        "of one alphabet, and the paper does not say whether its own are; the intervals take "
        "the pairs for independent, though a drawing is in many"
    )


def _cells(
    results: Mapping[tuple[int, int], Result],
    pairs: int,
    copies: int,
    published: Mapping[str, float],
) -> tuple[str, str, str]:
    one = results.get((pairs, copies))
    if one is None:
        return "–", "–", "–"
    low, high = one.interval
    beside = _fine(published[one.cell]) if one.cell in published else "–"
    return _fine(one.accuracy), f"{_fine(low)} to {_fine(high)}", beside


def _fine(share: float) -> str:
    """0.90614 → 90.61 %: the published figures differ by hundredths."""
    return f"{100 * share:.2f} %"
