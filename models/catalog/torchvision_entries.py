"""Writes the manifest of torchvision's weights anew; to be run after an upgrade of torchvision.

python -m models.catalog.torchvision_entries
"""

from models.classification import torchvision_entries as classifiers
from models.detection import torchvision_entries as detectors
from models.entries import CatalogEntry
from models.segmentation import torchvision_entries as segmenters
from models.sources.torchvision_manifest import write


def torchvision_entries() -> list[CatalogEntry]:
    """Entries of all weights that the installed torchvision publishes, task by task."""
    return [entry for task in (classifiers, detectors, segmenters) for entry in task.torchvision_entries()]


if __name__ == "__main__":
    write(torchvision_entries())
