"""How long runs take by their size, and how large a batch fits a turn."""

from __future__ import annotations

import pytest

from services.deployments.run_time import RunTime


def seen(fixed_s: float, image_s: float, sizes: tuple[int, ...]) -> RunTime:
    run_time = RunTime()
    for images in sizes:
        run_time.see(images, fixed_s + image_s * images)
    return run_time


def test_nothing_is_known_before_a_run():
    assert RunTime().seconds(5) == 0.0
    assert RunTime().images_within(0.1) is None


def test_fixed_part_and_images_are_told_apart():
    run_time = seen(0.02, 0.01, (1, 4, 2, 8))
    assert run_time.seconds(16) == pytest.approx(0.18)
    assert run_time.images_within(0.1) == 8


def test_batches_of_one_size_are_taken_for_work_on_images():
    assert seen(0.0, 0.05, (8, 8, 8)).images_within(0.1) == 2


def test_images_slower_than_a_turn_run_alone():
    assert seen(0.0, 0.5, (4, 2, 4)).images_within(0.1) == 1


def test_costly_start_of_a_run_is_not_paid_for_few_images():
    assert seen(0.09, 0.01, (1, 16, 4)).images_within(0.1) == 27
    assert seen(0.2, 0.0, (1, 16, 4)).images_within(0.1) is None
