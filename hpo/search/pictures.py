"""Small pictures of what a trial learnt, kept with it in the study."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.artifacts import FileSystemArtifactStore, get_all_artifact_meta, upload_artifact
from optuna.artifacts.exceptions import ArtifactNotFound
from optuna.storages import BaseStorage
from PIL import Image, ImageDraw, ImageFont

from data.contact_sheet import as_picture
from data.tasks import OneShotTasks
from hpo.study.paths import is_plain_name
from model.history import Epoch

WIDTH, HEIGHT, MARGIN = 640, 360, 48  # pixels of a learning curve
PAPER, INK, FAINT, MARK = "white", (40, 40, 40), (215, 215, 215), (0, 114, 178)
FONT = 14  # pixels
CELL = 64  # pixels of a drawing in the picture of mistakes
GAP = 8
MISTAKES = 12  # shown at most
PATCH = 40  # pixels of a filter


def learning_curve(epochs: Sequence[Epoch]) -> Image.Image:
    """The one-shot validation error of every epoch, from 0 to 100 %, the best one marked."""
    image = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(FONT)
    errors = [epoch.error for epoch in epochs]
    right, bottom = WIDTH - MARGIN / 2, HEIGHT - MARGIN

    def at(epoch: float, error: float) -> tuple[float, float]:
        across = epoch / max(len(errors) - 1, 1)
        return MARGIN + across * (right - MARGIN), bottom - error * (bottom - MARGIN)

    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        draw.line([at(0, share), (right, at(0, share)[1])], fill=FAINT)
        label = (MARGIN - GAP, at(0, share)[1])
        draw.text(label, f"{100 * share:.0f} %", fill=INK, font=font, anchor="rm")
    for epoch in range(0, len(errors), -(-len(errors) // 10)):
        below = (at(epoch, 0)[0], bottom + GAP)
        draw.text(below, str(epoch + 1), fill=INK, font=font, anchor="mt")
    draw.text(((MARGIN + right) / 2, HEIGHT - GAP), "epoch", fill=INK, font=font, anchor="mb")
    points = [at(epoch, error) for epoch, error in enumerate(errors)]
    if len(points) > 1:
        draw.line(points, fill=MARK, width=2)
    best = errors.index(min(errors))
    x, y = points[best]
    draw.ellipse([x - 4, y - 4, x + 4, y + 4], fill=MARK)
    lowest = f"best {100 * errors[best]:.1f} % in epoch {best + 1} of {len(errors)}"
    title = f"one-shot validation error, {lowest}"
    draw.text((MARGIN, GAP), title, fill=INK, font=font)
    return image


def filters(weights: NDArray[np.float32]) -> Image.Image:
    """Filters of the first layer side by side; each has its own scale, and zero is mid-grey.

    Args:
        weights: (F, K, k, k) for images of K channels.
    """
    top = np.abs(weights).max(axis=(1, 2, 3), keepdims=True)
    shades = np.clip(128 + 127 * weights / np.where(top > 0, top, 1), 0, 255).astype(np.uint8)
    columns = min(len(shades), 8)
    rows = -(-len(shades) // columns)
    pitch = PATCH + GAP // 2
    image = Image.new("RGB", (columns * pitch + GAP // 2, rows * pitch + GAP // 2), PAPER)
    for number, shade in enumerate(shades):
        patch = shade[0] if len(shade) == 1 else np.moveaxis(shade, 0, -1)
        place = (number % columns * pitch + GAP // 2, number // columns * pitch + GAP // 2)
        image.paste(Image.fromarray(patch).resize((PATCH, PATCH), Image.Resampling.NEAREST), place)
    return _small(image, weights.shape[1])


def mistakes(tasks: OneShotTasks, chosen: NDArray[np.int64]) -> Image.Image:
    """The first tasks that were answered wrongly: the query, its true class, the class chosen.

    Args:
        tasks: on any device.
        chosen: (R, Q) place in the support set of the class that the network chose.
    """
    first = tasks.support[:, :: tasks.shots]  # of each class; there may be more
    target = tasks.target.cpu().numpy()
    wrong = np.argwhere(chosen != target)
    columns = min(max(len(wrong), 1), MISTAKES)
    font, left, top = ImageFont.load_default(FONT), 80, 3 * GAP + FONT
    size = (left + max(columns, 5) * (CELL + GAP), top + 3 * (CELL + GAP))
    image = Image.new("RGB", size, (235, 235, 235))
    draw = ImageDraw.Draw(image)
    draw.text((GAP, GAP), f"{len(wrong)} of {len(tasks)} tasks wrong", fill=INK, font=font)
    for row, name in enumerate(("query", "true", "chosen")):
        middle = (GAP, top + row * (CELL + GAP) + CELL // 2)
        draw.text(middle, name, fill=INK, font=font, anchor="lm")
    for column, (run, query) in enumerate(wrong[:MISTAKES]):
        shown = (
            tasks.queries[run, query],
            first[run, target[run, query]],
            first[run, chosen[run, query]],
        )
        for row, one in enumerate(shown):
            place = (left + column * (CELL + GAP), top + row * (CELL + GAP))
            image.paste(as_picture(one).resize((CELL, CELL)), place)
    return _small(image, tasks.queries.shape[2])


def _small(image: Image.Image, channels: int) -> Image.Image:
    """The picture without colours where it shows none, which take three times the room."""
    return image.convert("L") if channels == 1 else image


def attach(trial: optuna.Trial, folder: Path, pictures: Mapping[str, Image.Image]) -> None:
    """Keep pictures with a running trial.

    Args:
        trial: the trial; one that has ended takes no more.
        folder: of the artifacts; made if it is absent.
        pictures: by the name that a person reads.

    Raises:
        OSError: they cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    store = FileSystemArtifactStore(folder)
    with TemporaryDirectory() as made:
        for name, picture in pictures.items():
            file = Path(made) / f"{name}.png"
            picture.save(file, optimize=True)
            upload_artifact(artifact_store=store, file_path=str(file), study_or_trial=trial)


def delete_artifacts(study: optuna.Study, storage: BaseStorage, folder: Path) -> int:
    """Delete the pictures of a study's trials, and say how many there were.

    What the database calls a picture and is no plain name is passed over.
    """
    store, deleted = FileSystemArtifactStore(folder), 0
    for trial in study.get_trials(deepcopy=False):
        for kept in get_all_artifact_meta(trial, storage=storage):
            if not is_plain_name(kept.artifact_id):
                continue
            with suppress(ArtifactNotFound):
                store.remove(kept.artifact_id)
                deleted += 1
    return deleted
