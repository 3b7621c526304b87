"""The error tree crosses processes and names each of its codes once."""

import pickle

import pytest

from models import errors

INSTANCES = [
    errors.ImageError("bad", {"bytes": 3}),
    errors.EmptyImage("empty"),
    errors.UnreadableImage("what is this"),
    errors.BrokenImage("broken"),
    errors.ImageTooLarge("large", {"max_pixels": 1}),
    errors.UnknownModel("nobody", ("noop",)),
    errors.BrokenCard("/cards/x.json", "is no model card"),
    errors.UnusableModel("best.onnx", "is empty"),
    errors.OpenQuestion("best.onnx", "says no task", "--task", ("detection",)),
    errors.NameTaken("there is another model called plates"),
    errors.WeightsUnavailable("noop", "gone"),
    errors.WeightsCorrupt("noop", "bent"),
    errors.InvalidProposals("box 0 has no area", 0),
    errors.CannotExplain("no class 'x'", "class", ("cat",)),
    errors.ExplainingUnavailable("captum is not installed"),
    errors.NonFiniteOutput(),
    errors.UnsupportedRuntime("no such device"),
    errors.PrecisionTooLow("fp16 overflows"),
]


@pytest.mark.parametrize("error", INSTANCES, ids=lambda error: type(error).__name__)
def test_an_error_survives_pickling_whole(error):
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert (str(copy), copy.__dict__) == (str(error), error.__dict__)


def test_every_error_has_its_own_code_and_stands_in_the_drawing():
    classes = [
        value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, errors.ModelsError)
    ]
    drawing = errors.__doc__ or ""
    codes = [cls.code for cls in classes]
    assert len(set(codes)) == len(codes) == 23
    for cls in classes:
        assert cls.__name__ in drawing
        assert cls is errors.ModelsError or cls.code in drawing


def test_an_unknown_model_says_its_name_and_carries_the_known_ones():
    error = errors.UnknownModel("nobody", ("noop",))
    assert (str(error), error.known) == ("unknown model 'nobody'", ("noop",))
