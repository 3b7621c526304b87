"""Draws a signal as a line plot."""

from __future__ import annotations

from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

_WIDTH: Final = 480
_HEIGHT: Final = 240
_MARGIN: Final = 24
_FINER: Final = 2
"""The plot is drawn at twice its size and reduced, so that its lines are smooth."""
_PAPER: Final = (255, 255, 255)
_AXIS: Final = (190, 190, 190)
_LINE: Final = (0, 90, 160)


def plot_signal(values: NDArray[np.float32]) -> bytes:
    """Draws a signal.

    Args:
        values: (N,) finite numbers.

    Returns:
        A PNG file of 480 x 240 pixels: the numbers from left to right, the least at the bottom and the greatest at the
        top; a grey line is at zero where zero is between them.
    """
    width, height, margin = _FINER * _WIDTH, _FINER * _HEIGHT, _FINER * _MARGIN
    picture = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(picture)
    numbers = values.astype(np.float64)
    low, high = float(numbers.min()), float(numbers.max())
    span = high - low or 1.0
    columns = np.linspace(margin, width - margin, len(numbers)) if len(numbers) > 1 else np.array([width / 2])
    rows = height - margin - (numbers - low) / span * (height - 2 * margin)
    if low <= 0 <= high:
        zero = height - margin - (0 - low) / span * (height - 2 * margin)
        pen.line([(margin, zero), (width - margin, zero)], fill=_AXIS, width=_FINER)
    points = list(zip(columns.tolist(), rows.tolist(), strict=True))
    pen.line(points, fill=_LINE, width=2 * _FINER, joint="curve")
    radius = 3 * _FINER
    for column, row in points:
        pen.ellipse((column - radius, row - radius, column + radius, row + radius), fill=_LINE)
    file = BytesIO()
    picture.resize((_WIDTH, _HEIGHT), Image.Resampling.LANCZOS).save(file, "PNG")
    return file.getvalue()
