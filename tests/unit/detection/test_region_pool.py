"""Pooled regions are those of torchvision."""

from typing import Any

import pytest
import torch
from torchvision.ops import MultiScaleRoIAlign

from models.detection.region_pool import RegionPool

SIZE = (96, 160)
STRIDES = {"fine": 8, "middle": 16, "coarse": 32}


def feature_maps(names: tuple[str, ...]) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    sides = {name: (SIZE[0] // STRIDES[name], SIZE[1] // STRIDES[name]) for name in names}
    return {name: torch.randn(1, 5, *side, generator=generator) for name, side in sides.items()}


def boxes() -> torch.Tensor:
    """Boxes of all sizes, and ones at the edges, beyond them, without area, and of the whole input."""
    generator = torch.Generator().manual_seed(2)
    corners = torch.rand(60, 2, generator=generator) * torch.tensor([150.0, 90.0])
    sides = torch.rand(60, 2, generator=generator) ** 3 * torch.tensor([160.0, 96.0])
    edges = [[0, 0, 160, 96], [152, 90, 160, 96], [-30, -20, 5, 4], [100, 50, 100, 50], [159, 95, 400, 300]]
    return torch.cat([torch.cat([corners, corners + sides], 1), torch.tensor(edges, dtype=torch.float32)])


@pytest.mark.parametrize("names", [("fine", "middle", "coarse"), ("middle",)])
@pytest.mark.parametrize(("cells", "sampling_ratio"), [(7, 2), (14, 2), ((3, 5), 1), (4, 3)])
def test_regions_are_pooled_as_torchvision_pools_them(names, cells, sampling_ratio):
    pool = MultiScaleRoIAlign(list(names), cells, sampling_ratio, canonical_scale=60)
    features = feature_maps(names)
    torch.testing.assert_close(RegionPool(pool)(features, boxes(), SIZE), pool(features, [boxes()], [SIZE]))
    levels: Any = pool.map_levels
    assert len(levels([boxes()]).unique()) == len(names)


def test_no_regions_are_pooled_to_none():
    pool = RegionPool(MultiScaleRoIAlign(list(STRIDES), 7, 2))
    assert pool(feature_maps(tuple(STRIDES)), torch.zeros(0, 4), SIZE).shape == (0, 5, 7, 7)
