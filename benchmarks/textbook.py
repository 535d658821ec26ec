"""The same work as public re-implementations of Koch et al. 2015 do it: what to be faster than.

Image files read with PIL by loader workers, a random affine map per image, two passes of the
encoder per batch of pairs, ReLU before max-pooling, fp32 in PyTorch's default memory format, and at
validation one forward pass for every pair of a query with a support image.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from data.contact_sheet import as_picture
from data.drawings import Drawings
from data.tasks import OneShotTasks
from model.architecture import Architecture

DISTORTIONS = {"degrees": 10, "translate": (0.02, 0.02), "scale": (0.8, 1.2), "shear": 17}


class PairFiles(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Random verification pairs of image files ``CHARACTER/DRAWER.png``."""

    def __init__(self, folder: Path, side: int, pairs: int) -> None:
        """Find the files; ``pairs`` of them, each ``side`` pixels wide, make an epoch."""
        self.characters = [sorted(d.iterdir()) for d in sorted(folder.iterdir())]
        self.pairs = pairs
        self.transform = transforms.Compose(
            [
                transforms.RandomAffine(**DISTORTIONS, fill=255),
                transforms.Resize((side, side)),
                transforms.ToTensor(),
            ]
        )

    def __len__(self) -> int:
        return self.pairs

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        chance = np.random.default_rng(index)
        one, other = chance.choice(len(self.characters), 2, replace=False)
        same = index % 2 == 0
        first = self._image(one, chance)
        second = self._image(one if same else other, chance)
        return first, second, torch.tensor([float(same)])

    def _image(self, character: int, chance: np.random.Generator) -> Tensor:
        files = self.characters[character]
        image = Image.open(files[chance.integers(len(files))]).convert("L")
        return cast(Tensor, self.transform(image))


class TextbookNetwork(nn.Module):
    """The twin network, each twin encoded by a pass of its own."""

    def __init__(self, architecture: Architecture) -> None:
        """Build the layers that ``architecture`` names, with PyTorch's initial weights."""
        super().__init__()
        layers: list[nn.Module] = []
        inside, last = 1, len(architecture.convolutions) - 1
        for number, layer in enumerate(architecture.convolutions):
            layers += [nn.Conv2d(inside, layer.filters, layer.kernel), nn.ReLU()]
            layers += [nn.MaxPool2d(2)] if number < last else []
            inside = layer.filters
        self.conv = nn.Sequential(*layers)
        self.fc = nn.Sequential(
            nn.Linear(architecture.features, architecture.fc_units), nn.Sigmoid()
        )
        self.out = nn.Linear(architecture.fc_units, 1)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """(N, 1, S, S) twice → (N, 1), the logit of "same"."""
        one = self.fc(self.conv(first).flatten(1))
        other = self.fc(self.conv(second).flatten(1))
        return cast(Tensor, self.out(torch.abs(one - other)))


def write_files(drawings: Drawings, folder: Path) -> None:
    """Lay a set out as image files, ink black, for `PairFiles`."""
    drawn = drawings.images.squeeze(1).split(len(drawings.drawers))
    for number, character in enumerate(drawn):
        place = folder / f"{number:04}"
        place.mkdir(parents=True)
        for drawer, ink in enumerate(character):
            Image.fromarray(255 - ink.numpy()).convert("1").save(place / f"{drawer:02}.png")


def training_steps(
    network: TextbookNetwork, files: PairFiles, batch: int, workers: int, device: torch.device
) -> Iterator[float]:
    """Train an epoch; gives the loss of each step."""
    loader = DataLoader(
        files, batch, num_workers=workers, pin_memory=device.type == "cuda", shuffle=True
    )
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4)
    criterion = nn.BCEWithLogitsLoss()
    network.train()
    for first, second, same in loader:
        optimizer.zero_grad()
        logits = network(first.to(device), second.to(device))
        loss = criterion(logits, same.to(device))
        loss.backward()
        optimizer.step()
        yield loss.item()


@torch.no_grad()
def validate(
    network: TextbookNetwork, tasks: OneShotTasks, count: int, device: torch.device
) -> float:
    """The accuracy on the first ``count`` tasks, one forward pass a pair."""
    network.eval()
    right = 0
    to_tensor = transforms.ToTensor()
    for number in range(count):
        draw, query = divmod(number, tasks.queries.shape[1])
        image = to_tensor(as_picture(tasks.queries[draw, query]))
        scores = []
        for support in tasks.support[draw]:
            other = to_tensor(as_picture(support))
            logit = network(image.unsqueeze(0).to(device), other.unsqueeze(0).to(device))
            scores.append(torch.sigmoid(logit).item())
        right += int(np.argmax(scores)) == int(tasks.target[draw, query])
    return right / count
