"""EfficientNet-Lite0 as a tutorial would serve it: PIL, torchvision transforms, eager fp32.

The network and its weights are those of `models`; nothing of Tapetum's faster decoding, folding or precision is used.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torchvision import transforms

from models.catalog import find
from models.classification.efficientnet_lite import EfficientNetLite, from_published
from models.classification.imagenet_classes import imagenet_class_names
from models.weights_files import fetch, load_into, read_state_dict

MODEL = "efficientnet-lite0"
_TOP_K = 5
_LEVELS = 255.0


class EagerClassifier:
    """Photos in, JSON-able answers out."""

    def __init__(self) -> None:
        entry = find(MODEL)
        path = fetch(entry)
        state, _ = read_state_dict(entry, path)
        network = EfficientNetLite(entry.class_count)
        load_into(network, from_published(state), entry, path)
        self._network = network.eval()
        self._class_names = imagenet_class_names()
        made_for = entry.preprocessing
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

    def preprocess(self, data: bytes) -> tuple[Tensor, tuple[int, int]]:
        """A photo's (3, 224, 224) float32 network input, and its own (height, width)."""
        image = Image.open(io.BytesIO(data)).convert("RGB")
        tensor: Tensor = self._transform(image)  # pyright: ignore[reportAssignmentType]
        return tensor, (image.height, image.width)

    def forward(self, batch: Tensor) -> Tensor:
        """(N, 3, 224, 224) float32 to (N, 1000) probabilities."""
        with torch.inference_mode():
            return self._network(batch).softmax(dim=1)

    def answer(self, probabilities: Tensor, size: Sequence[int]) -> dict[str, Any]:
        """The answer to one photo, in the shape of Tapetum's.

        Args:
            probabilities: (1000,) float32.
            size: (height, width) of the photo.
        """
        best = probabilities.topk(_TOP_K)
        return {
            "model": MODEL,
            "version": "1",
            "image": {"height": size[0], "width": size[1]},
            "predictions": [
                {"class_id": class_id, "class_name": self._class_names[class_id], "probability": probability}
                for class_id, probability in zip(best.indices.tolist(), best.values.tolist(), strict=True)
            ],
            "cached": False,
        }
