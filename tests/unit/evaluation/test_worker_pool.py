"""Workers that Ray would wait for without a word are refused."""

from __future__ import annotations

import pytest

from services.evaluation.worker_pool import Place, WorkerPoolError, check_room

TWO_MACHINES = [{"CPU": 4.0, "GPU": 2.0}, {"CPU": 8.0}]


@pytest.mark.parametrize(
    "place",
    [
        Place(12),
        Place(2, worker_gpus=1.0),
        Place(4, worker_gpus=0.5),
        Place(6, worker_cpus=0.1, worker_gpus=0.3),
        Place(100, worker_cpus=0.0),
        Place(30, worker_cpus=0.4),
    ],
)
def test_workers_that_fit_are_taken(place: Place):
    check_room(place, TWO_MACHINES)


@pytest.mark.parametrize(
    ("place", "room"),
    [
        (Place(13), 12),
        (Place(3, worker_gpus=1.0), 2),
        (Place(3, worker_gpus=0.75), 2),
        (Place(7, worker_cpus=0.1, worker_gpus=0.3), 6),
        (Place(2, worker_cpus=5.0), 1),
        (Place(1, address="auto", worker_cpus=9.0), 0),
    ],
)
def test_workers_that_never_fit_are_refused_with_what_there_is(place: Place, room: int):
    with pytest.raises(WorkerPoolError, match=f"there is no room for {place.workers} workers .* enough for {room}$"):
        check_room(place, TWO_MACHINES)


def test_gpus_are_shared_or_whole():
    with pytest.raises(WorkerPoolError, match=r"a share of a GPU or whole ones, not 1\.5"):
        check_room(Place(1, worker_gpus=1.5), TWO_MACHINES)
