"""What is known of torchvision's published weights, without importing torchvision.

Each task has a manifest in ``models/weights``, one row for every set of weights, read off torchvision's own weights
enums by the task's module of facts; a test keeps the two equal. So a process that must stay free of torch, such as the
gateway, still knows every model.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Final, Generic, TypedDict, TypeVar

from models.entries import WeightsSource

NOT_MEASURED: Final = "as published by torchvision; not measured here"
FOLDER: Final = Path(__file__).parents[1] / "weights"


class PublishedFacts(TypedDict):
    """What every set of torchvision's weights tells of itself.

    Attributes:
        builder: Name of the function in `torchvision.models` or its modules `detection` and `segmentation`.
        weights: Name of the member of its weights enum.
        recommended: Whether it is the enum's `DEFAULT`.
        url: Where the file is downloaded from.
        class_count: Number of classes.
        parameters: Number of parameters.
        licence: Of the weights.
        recipe: Where their making is told.
    """

    builder: str
    weights: str
    recommended: bool
    url: str
    class_count: int
    parameters: int
    licence: str
    recipe: str


Facts = TypeVar("Facts", bound=PublishedFacts)


class TorchvisionManifest(Generic[Facts]):
    """The rows of one task.

    Args:
        path: The file: a JSON list of rows.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def find(self, name: str) -> Facts | None:
        """Looks a set of weights up.

        Args:
            name: ``torchvision/<builder>``, with the recommended weights, or ``torchvision/<builder>@<weights>``.

        Returns:
            Its row, or None where there is no such builder or no such weights.
        """
        family, _, rest = name.partition("/")
        builder, _, weights = rest.partition("@")
        if family != "torchvision" or rest.endswith("@"):
            return None
        rows = self._rows.get(builder, ())
        return next((row for row in rows if row["weights"] == weights or (not weights and row["recommended"])), None)

    def builder_names(self) -> tuple[str, ...]:
        """Lists the builders in alphabetical order."""
        return tuple(self._rows)

    def write(self, rows: Sequence[Facts]) -> None:
        """Replaces all rows, one a line."""
        lines = ",\n".join(json.dumps(row) for row in rows)
        self.path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")

    @cached_property
    def _rows(self) -> Mapping[str, Sequence[Facts]]:
        rows: list[Facts] = json.loads(self.path.read_text(encoding="utf-8"))
        builders = sorted({row["builder"] for row in rows})
        return {builder: tuple(row for row in rows if row["builder"] == builder) for builder in builders}


def weights_source(facts: PublishedFacts) -> WeightsSource:
    """Tells where the weights of a row come from."""
    return WeightsSource(
        kind="torch_hub", location=facts["url"], sha256=None, licence=facts["licence"], source=facts["recipe"]
    )


def on_byte_scale(channels: Sequence[float]) -> tuple[float, float, float]:
    """Brings a mean or a standard deviation of R, G and B from the scale 0 to 1 to the scale 0 to 255."""
    red, green, blue = (round(255 * channel, 6) for channel in channels)
    return red, green, blue
