"""How a network is trained: what it sees, for how long, and every layer's rates."""

from typing import Annotated, Literal

from pydantic import Field

from model.architecture import Frozen

INITIAL_MOMENTUM = 0.5
"""Momentum of every layer in the first epoch (Koch et al. 2015, §3.2)."""

Precision = Literal["bf16", "fp32"]
"""The arithmetic of a training; "auto" in a recipe is the one that the device is fast in."""
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Positive = Annotated[int, Field(ge=1)]


class LayerRates(Frozen):
    """A layer's own learning rate η, final momentum μ and L2 penalty λ."""

    lr: Annotated[float, Field(gt=0, le=10)]
    momentum: Annotated[float, Field(ge=0, le=1)]
    l2: Annotated[float, Field(ge=0, le=1)]

    def momentum_at(self, epoch: int, ramp: int) -> float:
        """Momentum in this epoch (from 0): linear from 0.5 to μ over ``ramp`` epochs."""
        return INITIAL_MOMENTUM + (self.momentum - INITIAL_MOMENTUM) * min(1.0, epoch / ramp)


class RandomPairs(Frozen):
    """The paper's sampling: a fixed set of pairs, half same and half different."""

    kind: Literal["random-pairs"] = "random-pairs"
    pairs: Annotated[int, Field(ge=2, multiple_of=2)] = 30_000
    copies: Annotated[int, Field(ge=0, le=64)] = 8
    """Distorted copies of each pair; the set has ``pairs * (1 + copies)`` pairs."""
    batch: Positive = 128
    """Pairs a step."""
    steps: Positive | None = None
    """Steps an epoch, which goes on in the set where the last one left off; without it, an epoch
    is the whole set."""
    seed: Seed = 0
    """Of the set of pairs, which is the same in every trial of a study."""

    @property
    def images(self) -> int:
        """Images a step, two of each pair."""
        return 2 * self.batch

    @property
    def epoch_steps(self) -> int:
        """Steps an epoch."""
        return self.steps or -(-self.pairs * (1 + self.copies) // self.batch)


class AllPairs(Frozen):
    """Every pair inside a batch: N characters by two drawers each give N² pairs."""

    kind: Literal["all-pairs"] = "all-pairs"
    loss: Literal["binary", "softmax"] = "binary"
    """``binary``: the paper's cross-entropy of each pair, same and different ones weighing alike.
    ``softmax``: the cross-entropy of picking the right second image among all N, both ways."""
    characters: Annotated[int, Field(ge=2)] = 96
    per_alphabet: Annotated[int, Field(ge=2)] = 20
    steps: Positive = 40
    """Steps an epoch."""
    distorted: bool = True
    distortion_width: Annotated[float, Field(gt=0, le=3)] = 1.0
    """Factor on the ranges of the paper's distortions."""
    turned: bool = False
    """Turn by 90° and mirror each alphabet of a batch at random, all its characters alike: eight
    alphabets to learn from for every one."""

    alphabet_distortion: Annotated[float, Field(ge=0, le=3)] = 0.0
    """Distort each alphabet of a batch as a whole too, all its characters alike: factor on the
    ranges of the paper's distortions. More alphabets to learn from; 0: none."""

    @property
    def images(self) -> int:
        """Images a step, two of each character."""
        return 2 * self.characters

    @property
    def epoch_steps(self) -> int:
        """Steps an epoch."""
        return self.steps


Sampling = RandomPairs | AllPairs


class Training(Frozen):
    """The recipe that all trials of a study share."""

    sampling: Annotated[Sampling, Field(discriminator="kind")]
    epochs: Annotated[int, Field(ge=1, le=100_000)] = 200
    patience: Positive = 20
    """Stop when the validation error has not fallen for this many epochs."""
    momentum_ramp: Positive = 200
    """Epochs over which every layer's momentum goes from 0.5 to its own."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """``sgd``: the paper's. ``adamw``: a layer's momentum is its β₁, its L2 its weight decay."""
    schedule: Literal["decay", "linear"] = "decay"
    """``decay``: every learning rate is multiplied by ``lr_decay`` after each epoch, as in the
    paper; ``linear``: it goes from the full rate to nothing over ``epochs``."""
    lr_decay: Annotated[float, Field(gt=0, le=1)] = 0.99
    averaging: Annotated[float, Field(ge=0, le=1)] = 0.0
    """The weights that are validated and kept are a running average over about this share of all
    steps; 0: they are the last ones, as in the paper."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """``auto``: bf16 where the device computes in it, else fp32 (which PyTorch's convolutions
    on a GPU take as TF32)."""

    def lr_factor(self, epoch: int) -> float:
        """What every learning rate is multiplied by in this epoch (from 0)."""
        if self.schedule == "linear":
            return 1 - min(1.0, epoch / self.epochs)
        return float(self.lr_decay**epoch)
