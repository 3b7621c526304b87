"""The names of the 1000 classes of ImageNet-1k."""

# pyright: reportMissingTypeStubs=false

from torchvision.models import AlexNet_Weights


def imagenet_class_names() -> tuple[str, ...]:
    """Gives torchvision's name of every class, in the order of the class ids."""
    return tuple(AlexNet_Weights.IMAGENET1K_V1.meta["categories"])
