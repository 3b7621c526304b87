"""The strips and tiles of a TIFF, decompressed to the bytes of their samples.

Pillow's libtiff only decompresses: it gets an 8-bit grey TIFF whose width is the number of bytes of a row. The bytes
are interpreted by `models.imaging.tiff_samples`, since Pillow misreads several layouts without an error.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from models.errors import BrokenImage, UnreadableImage
from models.imaging.tiff_directory import Directory
from models.imaging.tiff_layout import BLACK_IS_ZERO, FAX, NO_COMPRESSION, Layout

_BAND_BYTES: Final = 2**24
_ITEM_BYTES: Final = {3: 2, 4: 4, 7: 1}
_REVERSED: Final = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


@dataclass(frozen=True)
class Blocks:
    """The strips or tiles of a TIFF.

    Attributes:
        data: The TIFF.
        layout: Its layout.
        places: Offset of every block; plane after plane, row after row.
        lengths: Size of every block in bytes.
        fax_options: Options of fax compression (tags 292 and 293).
    """

    data: bytes
    layout: Layout
    places: Sequence[int]
    lengths: Sequence[int]
    fax_options: tuple[int, int]

    @classmethod
    def of(cls, directory: Directory, layout: Layout) -> "Blocks":
        """Reads offsets and sizes of the blocks.

        Raises:
            UnreadableImage: Blocks are omitted, as in GDAL's sparse files.
            BrokenImage: There are too few, or they overlap so much that reading them takes longer than the file is.
        """
        places = directory.values(324 if layout.tiled else 273)
        lengths = directory.values(325 if layout.tiled else 279)
        count = layout.blocks_across * layout.blocks_down * layout.planes
        if len(lengths) < count and layout.compression == NO_COMPRESSION:
            lengths = (layout.row_bytes * layout.block_height,) * count
        if any(place == length == 0 for place, length in zip(places, lengths, strict=False)):
            raise UnreadableImage("TIFFs that leave out blocks cannot be read")
        if len(places) < count or len(lengths) < count or min(places) < 0 or min(lengths) < 0:
            raise BrokenImage("the TIFF header is truncated or corrupt")
        ends = (min(place + length, len(directory.data)) for place, length in zip(places, lengths, strict=False))
        clipped = tuple(max(end - place, 0) for place, end in zip(places, ends, strict=False))
        if layout.compression != NO_COMPRESSION and sum(clipped) > 2 * len(directory.data):
            raise BrokenImage("the TIFF header is truncated or corrupt")
        options = directory.value(292, 0), directory.value(293, 0)
        return cls(directory.data, layout, places[:count], clipped[:count], options)

    def bands(self) -> Iterator[range]:
        """Splits the rows of blocks into bands of about 16 MiB, at least one row of blocks each."""
        layout = self.layout
        row = layout.block_height * layout.row_bytes * layout.blocks_across * layout.planes
        step = max(_BAND_BYTES // max(row, 1), 1)
        for first in range(0, layout.blocks_down, step):
            yield range(first, min(first + step, layout.blocks_down))

    def rows(self, plane: int, band: range) -> NDArray[np.uint8]:
        """Decompresses some rows of blocks in one plane.

        Args:
            plane: Index of the plane.
            band: The rows of blocks.

        Returns:
            (rows of pixels, blocks across, bytes of a block's row) uint8.

        Raises:
            BrokenImage: They are truncated or corrupt.
        """
        layout = self.layout
        across, first = layout.blocks_across, plane * layout.blocks_down
        chosen = range((first + band.start) * across, (first + band.stop) * across)
        rows = layout.block_height * len(chosen)
        if not layout.tiled:
            rows = min(rows, layout.height - band.start * layout.block_height)
        stacked = self._plain(chosen, rows) if layout.compression == NO_COMPRESSION else self._unpacked(chosen, rows)
        if across == 1:
            return stacked[:, np.newaxis]
        apart = stacked.reshape(len(band), across, layout.block_height, layout.row_bytes)
        return apart.transpose(0, 2, 1, 3).reshape(-1, across, layout.row_bytes)

    def _plain(self, chosen: range, rows: int) -> NDArray[np.uint8]:
        """Returns uncompressed blocks, stacked vertically: (rows, row bytes)."""
        whole, row = self.layout.block_height, self.layout.row_bytes
        view = memoryview(self.data)
        needed = [min(whole, rows - index * whole) * row for index in range(len(chosen))]
        parts = [view[place : place + size] for place, size in zip(self._places_of(chosen), needed, strict=True)]
        joined = b"".join(parts)
        if len(joined) < rows * row:
            raise BrokenImage("the TIFF is truncated or corrupt")
        if self.layout.reversed_bits:
            joined = joined.translate(_REVERSED)
        return np.frombuffer(joined, np.uint8).reshape(rows, row)

    def _unpacked(self, chosen: range, rows: int) -> NDArray[np.uint8]:
        """Decompresses blocks, which libtiff reads as strips, stacked vertically: (rows, row bytes)."""
        layout = self.layout
        fax = layout.compression in FAX
        width = layout.block_width if fax else layout.row_bytes
        tags = {
            256: width,
            257: rows,
            258: 1 if fax else 8,
            259: layout.compression,
            262: BLACK_IS_ZERO,
            266: 2 if layout.reversed_bits else 1,
            277: 1,
            278: layout.block_height,
            **({292: self.fax_options[0], 293: self.fax_options[1]} if fax else {}),
        }
        file = written(tags, self.compressed(chosen))
        try:
            with TiffImageFile(BytesIO(file)) as image:
                image.im = Image.new(image.mode, image.size).im  # else Pillow's bomb check would count bytes as pixels
                found = np.asarray(image)
        except MemoryError:  # `models.imaging.decoding` translates it
            raise
        except Exception as error:  # as in `models.imaging.pillow.opened`
            raise BrokenImage("the TIFF is truncated or corrupt") from error
        if found.shape != (rows, width):
            raise BrokenImage("the TIFF is truncated or corrupt")
        return np.packbits(found, axis=1) if fax else found

    def compressed(self, chosen: range) -> list[bytes]:
        """Returns the stored bytes of some blocks."""
        sizes = self.lengths[chosen.start : chosen.stop]
        return [self.data[place : place + size] for place, size in zip(self._places_of(chosen), sizes, strict=True)]

    def _places_of(self, chosen: range) -> Sequence[int]:
        return self.places[chosen.start : chosen.stop]


def written(
    tags: Mapping[int, int | bytes | tuple[int, ...]], strips: Sequence[bytes], *, tiled: bool = False
) -> bytes:
    """Writes a TIFF.

    Args:
        tags: Values of its tags: one number, short numbers, or bytes of type "undefined".
        strips: Its strips or tiles, compressed as the tags say.
        tiled: Whether they are tiles.

    Returns:
        The file.
    """
    content = bytearray(b"II*\0\0\0\0\0")
    places: list[int] = []
    for strip in strips:
        places.append(len(content))
        content += strip
    entries = {tag: _value(value) for tag, value in tags.items()}
    entries[324 if tiled else 273] = (4, struct.pack(f"<{len(strips)}I", *places))
    entries[325 if tiled else 279] = (4, struct.pack(f"<{len(strips)}I", *map(len, strips)))
    lines = bytearray()
    for tag, (kind, value) in sorted(entries.items()):
        if len(value) > 4:
            place = struct.pack("<I", len(content))
            content += value
        else:
            place = value.ljust(4, b"\0")
        lines += struct.pack("<HHI", tag, kind, len(value) // _ITEM_BYTES[kind]) + place
    directory = len(content) + len(content) % 2
    content += bytes(len(content) % 2) + struct.pack("<H", len(entries)) + lines + bytes(4)
    struct.pack_into("<I", content, 4, directory)
    return bytes(content)


def _value(value: int | bytes | tuple[int, ...]) -> tuple[int, bytes]:
    """Type and bytes of a value."""
    if isinstance(value, int):
        return 4, struct.pack("<I", value)
    return (7, value) if isinstance(value, bytes) else (3, struct.pack(f"<{len(value)}H", *value))
