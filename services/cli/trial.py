"""Runs a model that is being added once on a photo, and draws its prediction."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from models.errors import BrokenCard, ModelsError, WeightsError
from services.answers.image_problem import Problem
from services.cli.catalog_folders import reading_models_of
from services.cli.console import CommandError, Screen

if TYPE_CHECKING:
    from models.adapter import Adapter
    from models.catalog.lookup import CatalogEntry
    from services.cli.results import Result

_CLOSE_UP: Final = "flower.jpg"
_SCENE: Final = "china.jpg"
"""Photos of 427 x 640 pixels that come with scikit-learn, in its package `sklearn.datasets.images`."""


@dataclass(frozen=True, slots=True)
class Trial:
    """The prediction of a model that works.

    Attributes:
        sample: Path of the photo.
        predictions: Of the photo, best first.
        picture: The photo with the predictions drawn on it, as JPEG.
    """

    sample: Path
    predictions: tuple[Any, ...]
    picture: bytes


def sample_photo(task: str) -> Path:
    """Path of a photo that is installed with Tapetum, for a model of a task."""
    return Path(str(files("sklearn.datasets.images") / (_CLOSE_UP if task == "classification" else _SCENE)))


def try_model(screen: Screen, card: Path, entry: CatalogEntry, sample: Path | None, source: Path) -> Trial:
    """Load a model, and run it on a photo.

    Args:
        screen: Where progress is shown.
        card: In a folder of its own.
        entry: Its catalog entry.
        sample: The photo; None: one that is installed with Tapetum.
        source: The file that the user adds, for messages.

    Raises:
        CommandError: The model cannot be loaded or fails, or the photo cannot be read.
    """
    photo = sample or sample_photo(entry.task)
    try:
        with reading_models_of(card.parent), screen.err.status(f"trying {entry.name} on {photo.name}"):
            result = _predict(_loaded(card), entry, photo)
    except (BrokenCard, WeightsError) as error:
        raise CommandError(f"{source}: cannot be loaded: {error.message}; nothing was written") from None
    except ModelsError as error:
        raise CommandError(f"{source}: cannot be loaded: {error}; nothing was written") from None
    except CommandError:
        raise
    except Exception as error:  # of many classes: the network is a stranger's
        raise CommandError(f"{source}: fails on {photo}: {_first_line(error)}; nothing was written") from None
    if isinstance(result.outcome, Problem):
        raise CommandError(f"{photo}: {result.outcome.message}; nothing was written")
    from services.cli.saving import draw_result

    assert result.image is not None
    return Trial(photo, tuple(result.outcome.predictions), draw_result(result, result.image))


def _loaded(card: Path) -> Adapter[Any, Any]:
    from models.catalog.loading import load

    return load(card.name.removesuffix(".json"))


def _predict(adapter: Adapter[Any, Any], entry: CatalogEntry, photo: Path) -> Result:
    from services.cli.local import answer_here
    from services.cli.sources import ImageSource
    from services.kinds.completion import complete

    parameters = complete(entry.kind, {}, entry.defaults, adapter.class_names)
    (result,) = answer_here([ImageSource(str(photo))], adapter, entry.task, parameters, keep=True)
    return result


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
