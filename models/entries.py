"""What the catalog holds: one frozen entry for every model."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal

Interpolation = Literal["bilinear", "bicubic"]


@dataclass(frozen=True)
class WeightsSource:
    """Where a model's weights come from.

    Attributes:
        kind: `package` (a file in an installed Python package), `torch_hub` (downloaded once into torch hub's cache)
            or `none` (nothing is learned).
        location: For a package, the path from its import root; for torch hub, the address of the file.
        sha256: Digest of the file in hex. None for torch hub, whose file names carry its first digits.
        licence: Licence of the weights.
        source: Who made them, and where that is told.
    """

    kind: Literal["package", "torch_hub", "none"]
    location: str
    sha256: str | None
    licence: str
    source: str


@dataclass(frozen=True)
class Preprocessing:
    """From upright RGB pixels to what the network was trained on.

    Attributes:
        resize: The short side after the resize, in pixels.
        crop: The side of the centred square that is kept, in pixels.
        interpolation: Kernel of the resize; always antialiased.
        mean: Subtracted from R, G and B, on the scale 0 to 255.
        std: R, G and B are then divided by it, on the scale 0 to 255.
    """

    resize: int
    crop: int
    interpolation: Interpolation
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True)
class Accuracy:
    """One measured figure.

    Attributes:
        dataset: What it was measured on.
        metric: Such as `top1`; a share, 0 to 1.
        value: The figure.
        note: Who measured it, and what to beware of.
    """

    dataset: str
    metric: str
    value: float
    note: str


@dataclass(frozen=True)
class CatalogEntry:
    """Everything that is known of a model before it is loaded.

    Attributes:
        name: What `models.loading.load` and the API call it.
        version: Changes whenever answers may.
        task: The kind of answer.
        architecture: The network, as its paper calls it.
        weights: Where the weights come from.
        preprocessing: What is done to the pixels.
        class_count: Number of classes.
        licence: Licence of the architecture's code.
        accuracy: Measured figures.
        description: One sentence for a person choosing a model.
        defaults: Parameters of the task where a request sets none.
    """

    name: str
    version: str
    task: Literal["classification"]
    architecture: str
    weights: WeightsSource
    preprocessing: Preprocessing
    class_count: int
    licence: str
    accuracy: tuple[Accuracy, ...]
    description: str
    defaults: Mapping[str, int | float] = field(default_factory=lambda: {"top_k": 5})

    def to_dict(self) -> dict[str, object]:
        """Gives the entry as plain dictionaries, lists, strings and numbers, ready for JSON."""
        return {**asdict(self), "accuracy": [asdict(figure) for figure in self.accuracy]}
