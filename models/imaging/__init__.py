"""The image formats, one file each: a bounded reader of the header, and a decoder to RGB as stored."""
