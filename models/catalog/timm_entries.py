"""Writes the manifest of timm's weights anew; to be run after an upgrade of timm.

python -m models.catalog.timm_entries
"""

from models.classification.timm_entries import timm_rows
from models.sources.timm_manifest import write

if __name__ == "__main__":
    write(*timm_rows())
