"""The errors of inference, as one tree.

    ModelsError                 anything below
    ├── ImageError              invalid_image       the bytes cannot become pixels
    │   ├── EmptyImage          empty_image         no bytes at all
    │   ├── UnreadableImage     unsupported_image   not a supported image format or variant
    │   ├── BrokenImage         broken_image        the right format, but truncated or corrupt
    │   ├── ImageTooLarge       image_too_large     more bytes, pixels or header parts than the caps
    │   └── InvalidSignal       invalid_signal      not the numbers that a model of signals takes
    ├── UnknownModel            unknown_model       no catalog entry has that name
    ├── BrokenCard              broken_card         a model card, or the folder of it, cannot be used
    ├── NameTaken               name_taken          a new model cannot have this name
    ├── WeightsError            weights_error       a model's weights cannot be used
    │   ├── WeightsUnavailable  weights_unavailable not on this machine and not to be downloaded
    │   └── WeightsCorrupt      weights_corrupt     truncated, altered, or another network's
    ├── ExportError             export_error        a model cannot be exported
    ├── UnusableModel           unusable_model      a file to import holds no model that can be served
    │   └── OpenQuestion        open_question       the file does not say what a model card needs
    ├── CannotExplain           cannot_explain      a prediction cannot be explained as the request asks
    ├── ExplainingUnavailable   explaining_unavailable  a package that explanations need is not installed
    ├── InvalidProposals        invalid_proposals   boxes that a detector cannot classify
    ├── NonFiniteOutput         non_finite_output   the network returned NaN or infinity
    └── UnsupportedRuntime      unsupported_runtime this device or precision is not possible here
        ├── NotConvertible      not_convertible     OpenVINO cannot run a network
        └── PrecisionTooLow     precision_too_low   a network computes something else in half precision

Every class takes positional arguments only and survives pickling, so that it can cross processes.
The messages of `ImageError`, `UnknownModel` and `CannotExplain` are safe to send to clients: they name no path and no
host.
"""

from collections.abc import Mapping
from typing import ClassVar


class _FromSource(Exception):
    """The constructor and the text of errors that one thing causes.

    Args:
        source: A path, or the catalog name of a model; may be empty.
        message: The problem. For operators: it may contain a path.
    """

    def __init__(self, source: str, message: str) -> None:
        super().__init__(source, message)
        self.source = source
        self.message = message

    def __str__(self) -> str:
        return f"{self.source}: {self.message}" if self.source else self.message


class ModelsError(Exception):
    """Base class of all errors of this package.

    Attributes:
        code: The snake_case name of the error in responses and logs.
    """

    code: ClassVar[str] = "model_error"


class ImageError(ModelsError):
    """The bytes cannot be decoded to pixels.

    Args:
        message: One sentence for the client.
        details: JSON-able details of the message, such as the limit that was exceeded.
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
    """Not a supported image format or variant."""

    code: ClassVar[str] = "unsupported_image"


class BrokenImage(ImageError):
    """A supported format, but truncated or corrupt."""

    code: ClassVar[str] = "broken_image"


class ImageTooLarge(ImageError):
    """More bytes, pixels or header parts than the limits allow."""

    code: ClassVar[str] = "image_too_large"


class InvalidSignal(ImageError):
    """Not a signal, or not of the length that the model takes."""

    code: ClassVar[str] = "invalid_signal"


class UnknownModel(ModelsError):
    """No catalog entry has this name.

    Args:
        name: The requested name.
        known: The available names.
    """

    code: ClassVar[str] = "unknown_model"

    def __init__(self, name: str, known: tuple[str, ...] = ()) -> None:
        super().__init__(name, known)
        self.name = name
        self.known = known

    def __str__(self) -> str:
        return f"unknown model {self.name!r}"


class BrokenCard(_FromSource, ModelsError):
    """A model card, or the folder that it should be in, cannot be used.

    Args:
        source: Path of the card or the folder.
        message: The problem and its place in the card. For operators: it may contain a path.
    """

    code: ClassVar[str] = "broken_card"


class NameTaken(ModelsError):
    """A new model cannot have this name: another has it, or it is no name.

    Args:
        message: The name, and what to do. For operators: it may contain a path.
    """

    code: ClassVar[str] = "name_taken"


class WeightsError(_FromSource, ModelsError):
    """A model's weights cannot be used.

    Args:
        source: The catalog name of the model.
        message: The file, the problem and its fix. For operators: it may contain a path.
    """

    code: ClassVar[str] = "weights_error"


class WeightsUnavailable(WeightsError):
    """The weights are not on this machine and could not be downloaded."""

    code: ClassVar[str] = "weights_unavailable"


class WeightsCorrupt(WeightsError):
    """The weights file is truncated, altered, or belongs to another network."""

    code: ClassVar[str] = "weights_corrupt"


class ExportError(_FromSource, ModelsError):
    """A model cannot be exported, or what was exported does not compute the same.

    Args:
        source: The catalog name of the model; empty where the problem is not that of a model.
        message: The problem. For operators: it may contain a path.
    """

    code: ClassVar[str] = "export_error"


class UnusableModel(_FromSource, ModelsError):
    """A file that is to be imported holds no model that can be served.

    Args:
        source: Path of the file, or the name that was given.
        message: The problem and what to do about it. For operators: it may contain a path.
    """

    code: ClassVar[str] = "unusable_model"


class OpenQuestion(UnusableModel):
    """A file does not say what a model card needs, so that the user has to.

    Args:
        source: Path of the file.
        message: What it does not say, and how to say it.
        option: Option of `tapetum models add` that says it.
        choices: Its possible values, the likeliest first; empty where there are none to choose from.
    """

    code: ClassVar[str] = "open_question"

    def __init__(self, source: str, message: str, option: str, choices: tuple[str, ...] = ()) -> None:
        super().__init__(source, message)
        self.args = (source, message, option, choices)
        self.option = option
        self.choices = choices


class CannotExplain(ModelsError):
    """A prediction cannot be explained as the request asks.

    Args:
        message: The problem, and what to ask for instead. For clients: it holds no path.
        parameter: Name of the parameter that cannot be met, as the HTTP API has it.
        known: Its possible values; empty where they are not listed.
    """

    code: ClassVar[str] = "cannot_explain"

    def __init__(self, message: str, parameter: str, known: tuple[str, ...] = ()) -> None:
        super().__init__(message, parameter, known)
        self.message = message
        self.parameter = parameter
        self.known = known

    def __str__(self) -> str:
        return self.message


class ExplainingUnavailable(ModelsError):
    """This process lacks a package that explanations need.

    Args:
        message: The package, and how to install it.
    """

    code: ClassVar[str] = "explaining_unavailable"


class InvalidProposals(ModelsError):
    """A box that a detector is to classify is not within the image or has no area, or the detector takes no boxes.

    Args:
        message: The problem, safe to send to clients.
        index: Of the box; None where all boxes are refused.
    """

    code: ClassVar[str] = "invalid_proposals"

    def __init__(self, message: str, index: int | None = None) -> None:
        super().__init__(message, index)
        self.message = message
        self.index = index

    def __str__(self) -> str:
        return self.message


class NonFiniteOutput(ModelsError):
    """The network returned NaN or infinity: its weights are damaged, or a value overflowed its precision."""

    code: ClassVar[str] = "non_finite_output"

    def __str__(self) -> str:
        return "the model gave numbers that are not finite"


class UnsupportedRuntime(ModelsError):
    """This device, precision or option is not supported on this machine.

    Args:
        message: The unsupported setting, and the alternatives.
    """

    code: ClassVar[str] = "unsupported_runtime"


class NotConvertible(UnsupportedRuntime):
    """OpenVINO cannot run a network; torch can.

    Args:
        message: The network, and what it fails at.
    """

    code: ClassVar[str] = "not_convertible"


class PrecisionTooLow(UnsupportedRuntime):
    """On this device, a network in reduced precision computes something else than in float32.

    Args:
        message: The precision, the device and the difference.
    """

    code: ClassVar[str] = "precision_too_low"
