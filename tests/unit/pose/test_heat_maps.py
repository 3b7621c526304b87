"""Regions, cells and scores of heat maps."""

import numpy as np
import pytest
import torch

from models.pose.heat_maps import expected_points, in_cells, points_in, regions_around, scores_of


def test_a_margin_reaches_beyond_the_box_on_every_side() -> None:
    box = torch.tensor([[10.0, 20.0, 30.0, 60.0]])
    assert regions_around(box, 0.1).tolist() == [[8.0, 16.0, 32.0, 64.0]]
    assert regions_around(box, 0.0) is box


def test_points_and_cells_are_inverse() -> None:
    """The greatest cell of a smooth map is found within a third of a cell of the point that it was made around."""
    region = torch.tensor([[40.0, 10.0, 140.0, 210.0]])
    point = torch.tensor([[[77.0, 133.0]]])
    cells = in_cells(point, region, 28)
    across, down = ((torch.arange(28) + 0.5 - cells[0, 0, axis]) ** 2 for axis in (0, 1))
    logits = -(across[None, :] + down[:, None])[None, None]
    (found,), _ = points_in(logits, region)
    assert found[0].tolist() == pytest.approx([77.0, 133.0], abs=200 / 28 / 3)


def test_a_point_of_a_large_region_is_found_as_finely_as_in_one_of_224_pixels() -> None:
    torch.manual_seed(0)  # of other maps the two greatest cells may be equally great
    logits = torch.randn(2, 3, 28, 28).cumsum(2).cumsum(3)
    small = torch.tensor([[10.0, 20.0, 234.0, 244.0], [10.0, 20.0, 100.0, 244.0]])
    large = small * 5
    (found, _), (expected, _) = points_in(logits, large), points_in(logits, small)
    torch.testing.assert_close(found[0], expected[0] * 5)
    assert (found[1] - expected[1] * 5).abs().max() <= 5.01  # one of 224 pixels


def test_a_region_of_a_whole_photo_takes_no_more_than_one_of_224_pixels() -> None:
    region = torch.tensor([[0.0, 0.0, 1e5, 1e5]])  # enlarged to all of its pixels, 40 GB a point
    (points, _) = points_in(torch.zeros(1, 17, 28, 28).index_fill(2, torch.tensor([14]), 1.0), region)
    assert points[0, :, 1].tolist() == pytest.approx([14.5 / 28 * 1e5] * 17, rel=0.01)


def test_a_certain_point_scores_one_and_an_even_map_next_to_nothing() -> None:
    logits = torch.zeros(1, 3, 28, 28)
    logits[0, 0, 5, 7] = 50
    logits[0, 1, 5, 7] = logits[0, 1, 20, 20] = 50
    certain, torn, even = scores_of(logits)[0].tolist()
    assert (certain, torn) == pytest.approx((1, 0.5), abs=1e-4)
    assert even == pytest.approx(4 / 28**2)  # 2 x 2 cells: the greatest lies in the corner


def test_cells_next_to_the_greatest_count_for_it() -> None:
    logits = torch.full((1, 1, 28, 28), -50.0)
    logits[0, 0, 9:12, 9:12] = 0
    logits[0, 0, 10, 10] = 0.01
    assert scores_of(logits).item() == pytest.approx(1)


def test_a_torn_heat_map_has_its_point_between_where_that_is_near_to_both() -> None:
    logits = torch.full((1, 2, 28, 28), -50.0)
    logits[0, :, 10, 10] = logits[0, :, 10, 14] = 0
    region, area = torch.tensor([[0.0, 0.0, 280.0, 280.0]]), torch.tensor([200.0**2])
    points, scores = expected_points(logits, region, area, (0.1, 0.01))
    assert points[0, 0].tolist() == pytest.approx([125, 105], abs=3)  # a spread of 40 pixels reaches both
    assert points[0, 1, 0].item() == pytest.approx(105, abs=6) or points[0, 1, 0].item() == pytest.approx(145, abs=6)
    assert scores[0].tolist() == pytest.approx([np.exp(-(20**2) / (2 * 40**2)), 0.5], abs=0.01)


def test_without_regions_there_are_no_points() -> None:
    points, scores = points_in(torch.zeros(0, 17, 28, 28), torch.zeros(0, 4))
    assert points.shape == (0, 17, 2) and scores.shape == (0, 17)
    assert np.asarray(points).size == 0
