"""Reads the class names of a model that is added: from a file, or as they are written on the command line."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, cast

from models.classification.imagenet_classes import imagenet_class_names
from models.detection.coco_classes import COCO_CLASSES
from models.errors import UnusableModel
from models.sources.text_documents import DocumentError, read_text
from models.sources.yaml_documents import read_yaml

KNOWN: Final = ("imagenet", "coco")
"""Names that stand for lists of class names: the 1,000 of ImageNet-1k, and the 80 of COCO."""

_YAML: Final = (".yaml", ".yml")


def read_class_names(text: str) -> tuple[str, ...]:
    """Reads class names.

    Args:
        text: Path of a file with a name on each line, or of the `data.yaml` of a YOLO data set; or the names
            themselves, separated by commas; or one of `KNOWN`.

    Returns:
        One for every class id.

    Raises:
        UnusableModel: The file cannot be read, a name is empty, or the classes of `data.yaml` do not count up from 0.
    """
    path = Path(text)
    try:
        if path.suffix.lower() in _YAML:
            names = list(_names_in(path, read_yaml(path)))
        elif _is_file(path):
            names = [line.strip() for line in read_text(path).rstrip().splitlines()]
        elif text in KNOWN:
            return imagenet_class_names() if text == "imagenet" else COCO_CLASSES
        elif path.suffix.lower() == ".txt":
            raise UnusableModel(text, "there is no such file")
        else:
            names = [name.strip() for name in text.split(",")]
    except DocumentError as error:
        raise UnusableModel(str(path), error.reason) from None
    if not all(names):
        raise UnusableModel(text[:80], f"the name of class {names.index('')} is empty: each class needs one")
    if not names:
        raise UnusableModel(text[:80], "there are no class names in it")
    return tuple(names)


def _names_in(path: Path, document: Any) -> Iterator[str]:
    """The names of `data.yaml`: a list, or a mapping whose keys count up from 0."""
    names: Any = cast("dict[str, Any]", document).get("names") if isinstance(document, dict) else None
    if isinstance(names, list):
        values = cast("list[Any]", names)
    elif isinstance(names, dict):
        by_number = cast("dict[Any, Any]", names)
        numbers = list(by_number)
        if set(numbers) != set(range(len(numbers))) or any(isinstance(number, bool) for number in numbers):
            raise UnusableModel(str(path), "the keys of `names` must count up from 0: 0, 1, 2, …")
        values = [by_number[number] for number in range(len(numbers))]
    else:
        raise UnusableModel(str(path), "there must be `names`, a list or a mapping from 0, 1, 2, … to names")
    for number, name in enumerate(values):
        if not isinstance(name, str | int | float) or isinstance(name, bool):
            raise UnusableModel(str(path), f"`names` of class {number} is {name!r} to YAML; put it in quotes")
        yield str(name).strip()


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # such as of a list of names that is longer than a path may be
        return False
