"""Writes the manifest of torchvision's weights anew; to be run after an upgrade of torchvision.

python -m models.catalog.torchvision_entries
"""

from models.classification import torchvision_entries as classifiers
from models.detection import torchvision_entries as detectors
from models.entries import CatalogEntry
from models.pose import torchvision_entries as pose_estimators
from models.segmentation import torchvision_entries as segmenters
from models.sources.torchvision_manifest import write


def torchvision_entries() -> list[CatalogEntry]:
    """Entries of all weights that the installed torchvision publishes, task by task, by their builders' names."""
    tasks = (classifiers, detectors, pose_estimators, segmenters)
    return [entry for task in tasks for entry in sorted(task.torchvision_entries(), key=lambda each: each.architecture)]


if __name__ == "__main__":
    write(torchvision_entries())
