"""Writes the sample images of the playground, and their thumbnails: small copies of the pictures beside this file.

python docs/images/samples.py

`sample-astronaut.jpg` is NASA's portrait of Eileen Collins (public domain), `sample-coffee.jpg` a photo by Rachel
Michetti (CC0), both as scikit-image has them; the nuclei are made up by `nuclei.py`, and the digits by the built-in
scenes of `models.datasets.digits`.
"""

from pathlib import Path
from typing import Final

from PIL import Image

from models.datasets.digits import DigitScenes

HERE: Final = Path(__file__).parent
TARGET: Final = HERE.parents[1] / "services" / "gateway" / "playground" / "static"
SCENE: Final = 13
"""Number of a scene with six digits."""
THUMBNAIL_SIDE: Final = 120
"""Pixels, for 60 on the page."""


def main() -> None:
    """Writes the files into the folder of the page."""
    pictures = {name: Image.open(HERE / f"{name}.jpg").convert("RGB") for name in ("astronaut", "coffee", "nuclei")}
    pictures["digits"] = Image.fromarray(DigitScenes("detection").scene(SCENE).pixels)
    for name, picture in pictures.items():
        picture.save(TARGET / f"sample-{name}.jpg", quality=80, optimize=True, progressive=True)
        side = min(picture.size)
        left, top = ((edge - side) // 2 for edge in picture.size)
        square = picture.crop((left, top, left + side, top + side)).resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
        square.save(TARGET / f"thumbnail-{name}.jpg", quality=60, optimize=True)


if __name__ == "__main__":
    main()
