"""Runs Gatys' style transfer as an offline job: one Ray actor optimises the picture, some steps at a time."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from services.evaluation.worker_pool import Place, WorkerPoolError, check_room, cluster

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from models.stylization.gatys import Frame, StyleOptimisation, StyleSettings

STEPS_PER_CALL: Final = 10
"""Steps between two reports."""


@contextmanager
def stylizing(
    photo: NDArray[np.uint8], style: NDArray[np.uint8], settings: StyleSettings, place: Place
) -> Generator[Iterator[Frame]]:
    """Runs the job for the duration of the context; at its end the actor is gone, and a Ray started here, too.

    Ctrl-C interrupts the iterator and not the context, so that its body can save the last frame before Ray shuts down,
    which may take seconds.

    Args:
        photo: (H, W, 3) uint8 RGB.
        style: (h, w, 3) uint8 RGB.
        settings: How.
        place: Address and resources of the actor; `workers` is 1.

    Yields:
        An iterator over the picture every `STEPS_PER_CALL` steps and at the end; the last one is the result. It raises
        `ModelsError` where the weights of the feature network are not available, `ValueError` where a picture is too
        small, and `WorkerPoolError` where the actor ended.

    Raises:
        WorkerPoolError: Ray does not start, or there is no room for the actor.
    """
    with cluster(place):
        import ray as ray_module

        ray: Any = ray_module

        check_room(place, [node["Resources"] for node in ray.nodes() if node["Alive"]])
        options = {"num_cpus": place.worker_cpus, "num_gpus": place.worker_gpus}
        actor: Any = ray.remote(_Painter).options(**options).remote(photo, style, settings)
        yield _frames(ray, actor, settings.steps)


def _frames(ray: Any, actor: Any, steps: int) -> Iterator[Frame]:
    done = 0
    try:
        while done < steps:
            frame: Frame = ray.get(actor.advance.remote(STEPS_PER_CALL))
            done = frame.step
            yield frame
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        raise cause if isinstance(cause, Exception) else WorkerPoolError(str(error).splitlines()[0]) from None
    except ray.exceptions.RayActorError as error:
        raise WorkerPoolError(f"the worker ended: {str(error).strip().splitlines()[0]}") from None


class _Painter:
    """The Ray actor; it opens the feature network at the first call, whose errors reach the caller."""

    def __init__(self, photo: NDArray[np.uint8], style: NDArray[np.uint8], settings: StyleSettings) -> None:
        self._arguments = photo, style, settings
        self._optimisation: StyleOptimisation | None = None

    def advance(self, steps: int) -> Frame:
        from models.stylization.gatys import StyleOptimisation

        if self._optimisation is None:
            self._optimisation = StyleOptimisation(*self._arguments)
        return self._optimisation.advance(steps)
