"""Which part of the image the cells of a map cover."""

from models.entries import LetterboxPreprocessing, Preprocessing
from models.explaining.explanation import Area
from models.imaging.crop import cropped_area
from models.imaging.letterbox import Letterbox


def area_of(
    covered: tuple[int, int], image_size: tuple[int, int], preprocessing: Preprocessing | LetterboxPreprocessing
) -> Area:
    """Returns the part of an image that the upper left pixels of the network's input show.

    Args:
        covered: (height, width) of that part of the input in pixels; may be larger than the input.
        image_size: (height, width) of the upright image in pixels.
        preprocessing: Of the model.

    Returns:
        Of the whole input, the centre crop of a classifier; else the whole image with its padding, which lies beyond
        its right and lower edges.
    """
    if isinstance(preprocessing, Preprocessing):
        left, top, right, bottom = cropped_area(image_size, preprocessing)
        share = covered[1] / preprocessing.crop, covered[0] / preprocessing.crop
        return left, top, left + (right - left) * share[0], top + (bottom - top) * share[1]
    vertical, horizontal = Letterbox.fit(image_size, preprocessing).scale
    return 0.0, 0.0, covered[1] / horizontal, covered[0] / vertical


def cells_of_image(grid: tuple[int, int], image_size: tuple[int, int], area: Area) -> tuple[int, int]:
    """Counts the rows and columns of a grid that show some of the image, and not padding alone.

    Args:
        grid: (rows, columns) that cover the area.
        image_size: (height, width) of the upright image in pixels.
        area: From `area_of`.

    Returns:
        (rows, columns) from the upper left, at least 1 each.
    """
    left, top, right, bottom = area
    rows = grid[0] if bottom <= image_size[0] else _needed(grid[0], image_size[0] - top, bottom - top)
    columns = grid[1] if right <= image_size[1] else _needed(grid[1], image_size[1] - left, right - left)
    return rows, columns


def part_of(area: Area, grid: tuple[int, int], cells: tuple[int, int]) -> Area:
    """Returns the area of the first rows and columns of a grid.

    Args:
        area: Of the whole grid.
        grid: (rows, columns) of it.
        cells: (rows, columns) that are kept.
    """
    left, top, right, bottom = area
    return left, top, left + (right - left) * cells[1] / grid[1], top + (bottom - top) * cells[0] / grid[0]


def _needed(cells: int, pixels: float, covered: float) -> int:
    return max(1, min(cells, -int(-(pixels * cells / covered) // 1)))
