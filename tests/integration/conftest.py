"""Photos, and one running stack that the tests of this folder share."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from PIL import Image
from running import RunningStack, running_stack, write_config
from skimage import data


def jpeg_of(pixels: object, size: tuple[int, int] | None = None) -> bytes:
    """A JPEG file, at (width, height) if given."""
    image = Image.fromarray(pixels)  # type: ignore[arg-type]
    file = io.BytesIO()
    (image.resize(size) if size else image).save(file, "JPEG", quality=90)
    return file.getvalue()


@pytest.fixture(scope="session")
def photos() -> dict[str, bytes]:
    """Real photos by name, as JPEG files."""
    return {name: jpeg_of(getattr(data, name)()) for name in ("chelsea", "coffee", "rocket", "astronaut")}


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A stack with a real classifier and the no-op model."""
    config = write_config(tmp_path_factory.mktemp("stack"), topology="split")
    with running_stack(config, TAPETUM_MAX_IMAGE_PIXELS="4000000") as made:
        yield made
