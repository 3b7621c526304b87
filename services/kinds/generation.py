"""Image generation in the service, experimental: request parameters and endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field

from models.parameters import MAX_GENERATED, MAX_SEED
from services.kinds.completion import find_classes
from services.kinds.made_pictures import FoundPictures, PictureAnswer, example_of, picture_file
from services.kinds.request_parameters import NameOrId, PictureParameters, refuse_boolean
from services.kinds.task_api import TaskApi

Whole = Annotated[int, BeforeValidator(refuse_boolean)]
Truncation = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False), BeforeValidator(refuse_boolean)]


class GenerateParameters(PictureParameters):
    """Experimental. Makes images from noise. The request has no image: parameters are in the query, in a form, or in a
    JSON object.

    Equal parameters give equal images. Image k of a seed is the same for every `count`. Several images are answered as
    one grid, in JSON one by one.
    """

    wanted_class: NameOrId | None = Field(
        default=None,
        alias="class",
        description="Name or id of the class of all images; by default the seed draws one for each.",
    )
    seed: Annotated[Whole, Field(ge=0, le=MAX_SEED)] | None = Field(
        default=None, description="Seed of the noise; 0 by default."
    )
    count: Annotated[Whole, Field(ge=1, le=MAX_GENERATED)] | None = Field(
        default=None, description="How many images; 1 by default."
    )
    truncation: Truncation | None = Field(
        default=None,
        description="Scale of the noise, above 0 to 1: below 1, images are more typical and less diverse; the model's "
        "own default, mostly 1.",
    )

    def given(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """See `RequestParameters.given`; the class by its id."""
        given = super().given(entry)
        wanted = given.pop("wanted_class", None)
        if wanted is not None:
            found = find_classes((wanted,), entry["class_names"])
            given["class_id"] = found[0] if found else 0  # of a model with one class, all are meant
        return given


GENERATE: Final = TaskApi(
    task="generation",
    path="/v1/generate",
    summary="Images from noise (experimental)",
    parameters=GenerateParameters,
    found=FoundPictures,
    answer=PictureAnswer,
    examples={"one image": example_of("generator", class_id=7, class_name="7")},
    picture_file=picture_file,
    takes_images=False,
    is_experimental=True,
)
