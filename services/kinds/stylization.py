"""Style transfer in the service, experimental: request parameters and endpoint."""

from __future__ import annotations

from typing import Final

from pydantic import Field

from services.kinds.made_pictures import FoundPictures, PictureAnswer, PictureListAnswer, example_of, picture_file
from services.kinds.request_parameters import PictureParameters, Share
from services.kinds.task_api import TaskApi


class StylizeParameters(PictureParameters):
    """Experimental. Paints a photo in the style of the model: send it as the raw body, as multipart field `image`, or
    in base64 in JSON.

    The answer is an image of the photo's size, up to the limit on the model's card; PNG by default.
    """

    strength: Share | None = Field(
        default=None, description="Share of the style, 0 to 1: 0 is the photo itself, 1 the style alone; 1 by default."
    )


STYLIZE: Final = TaskApi(
    task="stylization",
    path="/v1/stylize",
    summary="A photo in the style of a painting (experimental)",
    parameters=StylizeParameters,
    found=FoundPictures,
    answer=PictureAnswer | PictureListAnswer,
    examples={"one image": example_of("stylizer")},
    picture_file=picture_file,
    is_experimental=True,
)
