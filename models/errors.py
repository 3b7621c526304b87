"""The errors of inference, as one tree.

    ModelsError                 anything below
    ├── ImageError              invalid_image       the bytes cannot become pixels
    │   ├── EmptyImage          empty_image         no bytes at all
    │   ├── UnreadableImage     unsupported_image   not a format, or a kind of it, that we read
    │   ├── BrokenImage         broken_image        the right format, but truncated or corrupt
    │   └── ImageTooLarge       image_too_large     more bytes, pixels or header parts than the caps
    ├── UnknownModel            unknown_model       no catalog entry has that name
    ├── BrokenCard              broken_card         a model card, or the folder of it, cannot be used
    ├── WeightsError            weights_error       a model's weights cannot be used
    │   ├── WeightsUnavailable  weights_unavailable not on this machine and not to be downloaded
    │   └── WeightsCorrupt      weights_corrupt     truncated, altered, or another network's
    ├── NonFiniteOutput         non_finite_output   the network gave NaN or infinity
    └── UnsupportedRuntime      unsupported_runtime this device or precision is not possible here

Every class takes positional arguments only and survives pickling, so that it can cross processes.
The messages of `ImageError` and `UnknownModel` are safe to send to clients: they name no path and no host.
"""

from collections.abc import Mapping
from typing import ClassVar


class ModelsError(Exception):
    """Anything that this package refuses to do.

    Attributes:
        code: The snake_case name of the error in answers and logs.
    """

    code: ClassVar[str] = "model_error"


class ImageError(ModelsError):
    """The bytes cannot become pixels.

    Args:
        message: One sentence for the sender of the image.
        details: JSON-able facts behind the sentence, such as the cap that was passed.
    """

    code: ClassVar[str] = "invalid_image"

    def __init__(self, message: str, details: Mapping[str, object] | None = None) -> None:
        super().__init__(message, dict(details or {}))
        self.message = message
        self.details: dict[str, object] = dict(details or {})

    def __str__(self) -> str:
        return self.message


class EmptyImage(ImageError):
    """No bytes at all."""

    code: ClassVar[str] = "empty_image"


class UnreadableImage(ImageError):
    """Not an image format, or a kind of one, that we read."""

    code: ClassVar[str] = "unsupported_image"


class BrokenImage(ImageError):
    """A format that we read, but truncated or corrupt."""

    code: ClassVar[str] = "broken_image"


class ImageTooLarge(ImageError):
    """More bytes or pixels than the caps allow, or more parts of a header than are read."""

    code: ClassVar[str] = "image_too_large"


class UnknownModel(ModelsError):
    """No catalog entry has this name.

    Args:
        name: The name that was asked for.
        known: The names that exist.
    """

    code: ClassVar[str] = "unknown_model"

    def __init__(self, name: str, known: tuple[str, ...] = ()) -> None:
        super().__init__(name, known)
        self.name = name
        self.known = known

    def __str__(self) -> str:
        return f"unknown model {self.name!r}"


class BrokenCard(ModelsError):
    """A model card, or the folder that it should be in, cannot be used.

    Args:
        source: Path of the card or the folder.
        message: What is wrong with it, and where within it. For operators: it may hold a path.
    """

    code: ClassVar[str] = "broken_card"

    def __init__(self, source: str, message: str) -> None:
        super().__init__(source, message)
        self.source = source
        self.message = message

    def __str__(self) -> str:
        return f"{self.source}: {self.message}"


class WeightsError(ModelsError):
    """A model's weights cannot be used.

    Args:
        model: The catalog name of the model.
        message: What is wrong with which file, and how to put it right. For operators: it may hold a path.
    """

    code: ClassVar[str] = "weights_error"

    def __init__(self, model: str, message: str) -> None:
        super().__init__(model, message)
        self.model = model
        self.message = message

    def __str__(self) -> str:
        return f"{self.model}: {self.message}"


class WeightsUnavailable(WeightsError):
    """The weights are not on this machine and could not be downloaded."""

    code: ClassVar[str] = "weights_unavailable"


class WeightsCorrupt(WeightsError):
    """The weights file is truncated, altered, or belongs to another network."""

    code: ClassVar[str] = "weights_corrupt"


class NonFiniteOutput(ModelsError):
    """The network gave NaN or infinity: its weights are damaged, or a value was too large for its precision."""

    code: ClassVar[str] = "non_finite_output"

    def __str__(self) -> str:
        return "the model gave numbers that are not finite"


class UnsupportedRuntime(ModelsError):
    """This device, precision or option is not possible on this machine.

    Args:
        message: What was asked for and what is possible instead.
    """

    code: ClassVar[str] = "unsupported_runtime"
