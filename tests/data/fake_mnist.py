"""MNIST's two test files in its own format, with few digits, all drawn as bars."""

import gzip
import struct
from pathlib import Path

import numpy as np

from data.sources.mnist import IMAGES, LABELS

OF_EACH = 12
"""Images of each digit."""


def idx(numbers: np.ndarray) -> bytes:
    """An array of bytes in the IDX format."""
    head = struct.pack(f">{numbers.ndim + 1}I", 0x0800 | numbers.ndim, *numbers.shape)
    return head + numbers.astype(np.uint8).tobytes()


def write_fake_mnist(folder: Path, packed: bool = True) -> Path:
    """Both files; image ``n`` of digit d has a bar in row 2 d + 3, and n in its first pixel."""
    labels = np.arange(10 * OF_EACH) % 10
    images = np.zeros((len(labels), 28, 28), np.uint8)
    for number, digit in enumerate(labels):
        images[number, 2 * digit + 3, 4:24] = 255
        images[number, 0, 0] = number // 10
    folder.mkdir(parents=True, exist_ok=True)
    for name, numbers in ((IMAGES, images), (LABELS, labels)):
        content = idx(numbers)
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
    return folder
