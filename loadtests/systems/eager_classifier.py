"""EfficientNet-Lite0 as a tutorial would serve it: torchvision transforms, softmax, the best five."""

from __future__ import annotations

from typing import Any

from PIL import Image
from torch import Tensor
from torchvision import transforms

from loadtests.systems.eager import EagerModel
from loadtests.workloads import CLASSIFICATION
from models.catalog.lookup import find
from models.classification.efficientnet_lite import EfficientNetLite, from_published
from models.classification.imagenet_classes import imagenet_class_names
from models.entries import Preprocessing

_TOP_K = 5
_LEVELS = 255.0


class EagerClassifier(EagerModel):
    """See `EagerModel`; inputs are (3, 224, 224), outputs 1000 probabilities."""

    def __init__(self) -> None:
        entry = find(CLASSIFICATION.model)
        super().__init__(entry, EfficientNetLite(entry.class_count), from_published)
        self._class_names = imagenet_class_names()
        made_for = entry.preprocessing
        assert isinstance(made_for, Preprocessing)
        self._transform = transforms.Compose(
            [
                transforms.Resize(made_for.resize, transforms.InterpolationMode(made_for.interpolation)),
                transforms.CenterCrop(made_for.crop),
                transforms.ToTensor(),
                transforms.Normalize(
                    [level / _LEVELS for level in made_for.mean], [level / _LEVELS for level in made_for.std]
                ),
            ]
        )

    def tensor(self, image: Image.Image) -> Tensor:
        """See `EagerModel.tensor`."""
        tensor: Tensor = self._transform(image)  # pyright: ignore[reportAssignmentType]
        return tensor

    def output(self, batch: Tensor) -> Tensor:
        """See `EagerModel.output`."""
        return self.network(batch).softmax(dim=1)

    def predictions(self, output: Tensor, size: tuple[int, int]) -> list[dict[str, Any]]:
        """See `EagerModel.predictions`."""
        best = output.topk(_TOP_K)
        return [
            {"class_id": class_id, "class_name": self._class_names[class_id], "probability": probability}
            for class_id, probability in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]
