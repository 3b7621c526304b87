"""Options that training runs share; each run adds its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.datasets.label_problems import TellProblems, WrongLabels
from models.datasets.samples import LabelProblem


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options of every training run.

    Attributes:
        output: Folder for the card and its weights, and for a folder `NAME.run` with log and checkpoint.
        name: Of the model, or `NAME@VERSION`.
        device: `cpu`, `cuda` or `cuda:N`.
        licence: Of the weights to be made, for the card.
    """

    output: Path
    name: str
    device: str = "cpu"
    licence: str = "as the data allows"

    @property
    def run_folder(self) -> Path:
        """Folder of log and checkpoint."""
        return self.output / f"{self.name}.run"


@dataclass(frozen=True, kw_only=True)
class LabelledOptions(RunOptions):
    """Options of a run that learns from images with labels.

    Attributes:
        precision: `auto`, `fp32` or `bf16`.
        allow_outside: Whether labels and links may lead to files outside the data folders.
        strict: Whether to stop at a wrong label, rather than leave it out.
    """

    precision: str = "auto"
    allow_outside: bool = False
    strict: bool = False

    def report_problems(self, problems: Sequence[LabelProblem], tell: TellProblems) -> None:
        """Reports the wrong labels of the data, before training.

        Args:
            problems: The wrong labels.
            tell: Called with them.

        Raises:
            WrongLabels: `strict`, and there are some.
        """
        if self.strict and problems:
            raise WrongLabels(problems)
        tell(problems)


@dataclass(frozen=True, kw_only=True)
class PhotoDataOptions(LabelledOptions):
    """Options of a run over photos with labelled objects.

    Attributes:
        architecture: Of the network.
        data: See `models.training.photo_data.read_photo_data`; where the first has no val split there is no evaluation.
        start: `imagenet`, `none`, or a model of the catalog whose weights to start from as far as they fit.
    """

    architecture: str
    data: tuple[Path, ...]
    start: str = "imagenet"


@dataclass(frozen=True, kw_only=True)
class ClassRunOptions(RunOptions):
    """Options of a run over images or signals of one class each.

    Attributes:
        epochs: Passes over the data.
        batch_size: Images or signals a step.
        learning_rate: The greatest; where None, the run's own.
        evaluate_every: Epochs between two evaluations; the last epoch is always evaluated.
        val_share: Share that is held out where the data has no val split.
        seed: Of every random choice.

    Raises:
        ValueError: On construction, where a value is out of its range.
    """

    epochs: int
    batch_size: int
    learning_rate: float | None
    evaluate_every: int
    val_share: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 2:
            raise ValueError("epochs must be at least 1 and the batch size at least 2")
        if self.learning_rate is not None and self.learning_rate <= 0:
            raise ValueError(f"the learning rate must be above 0, not {self.learning_rate}")
        if not 0 < self.val_share < 1:
            raise ValueError(f"the val share must be between 0 and 1, not {self.val_share}")
