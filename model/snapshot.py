"""An unfinished training on disk: what it takes to go on as if it had not been interrupted."""

import dataclasses
import glob
import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field, TypeAdapter
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from data.files import check_file, write_whole
from model.configuration import Configuration, ConfigurationError
from model.history import Epoch, Interrupted
from model.training import OnEpoch, OnStep, PartialEpoch, Trainer, train

FORMAT = "hpo-snapshot-2"
_USED = TypeAdapter(list[Annotated[int, Field(ge=1, le=999)]])
"""Numbers of threads that a training used."""
_UNREADABLE = (
    ConfigurationError,
    LookupError,
    OSError,
    RecursionError,
    SafetensorError,
    TypeError,
    ValueError,
)
"""What a file that is broken, or no snapshot, raises."""
SHARE = 20
"""A snapshot is taken once the training has run this many times as long as the last one took."""


class Snapshot:
    """The file of one training.

    Attributes:
        path: where it is, if there is one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._saved, self._cost = -math.inf, 0.0

    def save_if_cheap(self, trainer: Trainer) -> None:
        """Save, unless that would cost more than a twentieth of the time since it was last done.

        Raises:
            OSError: the file cannot be written.
        """
        if time.monotonic() - self._saved > SHARE * self._cost:
            self.save(trainer)

    def save(self, trainer: Trainer) -> None:
        """Write the state of a training in one move.

        Raises:
            OSError: the file cannot be written.
        """
        begun = time.monotonic()
        partial = trainer.partial
        tensors = {"generator": partial.generator, "loss": partial.loss}
        tensors |= {f"weights.{k}": v for k, v in trainer.network.state_dict().items()}
        if trainer.average:
            tensors |= {f"average.{k}": v for k, v in trainer.average.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in trainer.best.items()}
        tensors |= {f"optimizer.{k}": v for k, v in _optimizer_state(trainer).items()}
        figures = {name: getattr(partial, name) for name in ("steps", "pairs", "seconds")}
        metadata = {
            "format": FORMAT,
            "configuration": trainer.configuration.to_toml(),
            "data": trainer.drawings.fingerprint,
            "history": json.dumps([dataclasses.asdict(e) for e in trainer.history.epochs]),
            "partial": json.dumps(figures),
            "threads": json.dumps([trainer.threads.fewest, trainer.threads.highest]),
        }
        whole = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
        write_whole(self.path, save(whole, metadata))
        self._saved = time.monotonic()
        self._cost = self._saved - begun

    def resume(self, trainer: Trainer) -> bool:
        """Put a new trainer into the state that was saved of the same training.

        Returns:
            Whether it was: a file that is absent, broken, of another recipe or other data, or
            from another kind of device is passed over.
        """
        try:
            check_file(self.path)
            with safe_open(self.path, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            known = metadata["format"] == FORMAT and _is_of(metadata, trainer)
            if not (known and _fit(tensors, trainer)):
                return False
            epochs = [Epoch(**epoch) for epoch in json.loads(metadata["history"])]
            partial = PartialEpoch(
                **json.loads(metadata["partial"]),
                generator=tensors["generator"],
                loss=tensors["loss"].to(trainer.device),
            )
            used = _USED.validate_json(metadata.get("threads", "[]"))
        except _UNREADABLE:
            return False
        trainer.network.load_state_dict(_under("weights.", tensors))
        if trainer.average:
            trainer.average.load_state_dict(_under("average.", tensors))
        trainer.best = {
            k: v.to(trainer.device, copy=True) for k, v in _under("best.", tensors).items()
        }
        parameters = dict(trainer.network.named_parameters())
        for name, saved in _under("optimizer.", tensors).items():
            key, _, path = name.partition(".")
            parameter = parameters[path]
            # In the parameter's own memory format, as the optimizer would have made it.
            like = parameter if saved.shape == parameter.shape else saved.to(parameter.device)
            trainer.optimizer.state[parameter][key] = torch.empty_like(like).copy_(saved)
        trainer.history.epochs, trainer.partial = epochs, partial
        if used:
            trainer.threads.remember(min(used), max(used))
        return True

    def remove(self) -> None:
        """Delete the file, and what a killed process left of one."""
        for path in (self.path, *self.path.parent.glob(f"{glob.escape(self.path.name)}.*")):
            path.unlink(missing_ok=True)


def train_resumably(
    trainer: Trainer,
    snapshot: Snapshot,
    on_step: OnStep,
    on_epoch: OnEpoch | None = None,
    on_resume: Callable[[], None] | None = None,
) -> None:
    """Train to the end, from the snapshot on where it is of this training; and keep it up to date.

    Args:
        trainer: one that has not begun.
        snapshot: of this training, if there is one.
        on_step: called after each step; may raise `Interrupted`.
        on_epoch: called after each epoch, once the snapshot may hold it.
        on_resume: called before the first step, where the training goes on from the snapshot.

    Raises:
        Interrupted: the snapshot holds all that is done.
        Diverged: as `train` does.
        OSError: the snapshot cannot be written.
    """
    if snapshot.resume(trainer) and on_resume:
        on_resume()

    def end_epoch(epoch: int, error: float) -> None:
        snapshot.save_if_cheap(trainer)
        if on_epoch:
            on_epoch(epoch, error)

    try:
        train(trainer, end_epoch, on_step)
    except Interrupted:
        snapshot.save(trainer)
        raise


def _optimizer_state(trainer: Trainer) -> dict[str, Tensor]:
    """What the optimizer keeps of each parameter, as ``kind.parameter``."""
    return {
        f"{kind}.{name}": kept
        for name, parameter in trainer.network.named_parameters()
        for kind, kept in trainer.optimizer.state[parameter].items()
        if kept is not None
    }


def _is_of(metadata: Mapping[str, str], trainer: Trainer) -> bool:
    """Whether a snapshot is of this recipe, wherever it was exported from, and of these images."""
    saved = Configuration.from_toml(metadata["configuration"], "it")
    # Up to 0.6.0 nothing was kept of the images.
    same_data = metadata.get("data", trainer.drawings.fingerprint) == trainer.drawings.fingerprint
    return same_data and saved.recipe_key == trainer.configuration.recipe_key


def _fit(tensors: dict[str, Tensor], trainer: Trainer) -> bool:
    """Whether all tensors of a snapshot have the shapes that they have in this training."""
    weights = _shapes(trainer.network.state_dict())
    best = _shapes(_under("best.", tensors))
    average = _shapes(trainer.average.state_dict() if trainer.average else {})
    parameters = dict(trainer.network.named_parameters())
    kept = [
        (parameters[name.partition(".")[2]].shape, saved.shape)
        for name, saved in _under("optimizer.", tensors).items()
    ]
    return (
        tensors["generator"].shape == trainer.partial.generator.shape
        and tensors["loss"].shape == ()
        and _shapes(_under("weights.", tensors)) == weights
        and _shapes(_under("average.", tensors)) == average
        and best in ({}, weights)
        and all(saved in ((), own) for own, saved in kept)
    )


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items()}
