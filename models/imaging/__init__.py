"""Image formats, one module each: a bounded header reader, and a decoder to RGB before orientation."""
