"""The parts of a multi-task network: what its catalog entry says of each kind of predictions."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ModelPart:
    """One kind of predictions of a multi-task network.

    Attributes:
        class_names: One for every class id of this part; of a semantic part that of the background first.
        category_ids: COCO category id of every class id; None where it is the class id plus one.
        defaults: Parameters of this kind where a request sets none.
    """

    class_names: tuple[str, ...]
    category_ids: tuple[int, ...] | None = None
    defaults: Mapping[str, int | float] = field(default_factory=dict[str, int | float])
