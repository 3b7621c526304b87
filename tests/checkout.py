"""Where the files of the repository are."""

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
DOCS: Final = ROOT / "docs"
SHARED_DATA: Final = ROOT.parent / "shared" / "data"
"""Data sets that may not be committed; tests that read them are skipped where there are none."""
