"""Writes the dashboards for Grafana.

    python -m deploy.grafana.dashboards

makes `deploy/grafana/dashboards/*.json` from `deploy/grafana/contents`. A test holds them equal.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from deploy.grafana.contents.accuracy import ACCURACY
from deploy.grafana.contents.cache import CACHE
from deploy.grafana.contents.inference import MODELS
from deploy.grafana.contents.service import SERVICE
from deploy.grafana.contents.versions import VERSIONS

FOLDER: Final = Path(__file__).with_suffix("")
DASHBOARDS: Final = (SERVICE, MODELS, CACHE, ACCURACY, VERSIONS)


def main() -> None:
    """Write the JSON files."""
    for board in DASHBOARDS:
        (FOLDER / f"{board.name}.json").write_text(board.to_json(), encoding="utf-8")


if __name__ == "__main__":
    main()
