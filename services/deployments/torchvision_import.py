"""Imports torchvision without torch's compiler, which a process that serves has no use for.

`import torchvision` asks `torch._dynamo` for two functions that only matter while something is compiled, and so imports
800 modules, sympy and Triton's compiler among them: 2 s of one core, and 90 MB a process.
"""

# pyright: reportMissingTypeStubs=false, reportUnusedImport=false

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

_NAMES: Final = ("torch._dynamo", "torch._dynamo.utils")


def import_torchvision() -> None:
    """Imports torchvision; `torch._dynamo` is imported later, by whatever compiles a network.

    Call it before anything else imports torchvision; afterwards it changes nothing.
    """
    import torch  # here, for this module is imported to be called first

    if "torchvision" in sys.modules or "torch._dynamo" in sys.modules:
        return
    compiler, utils = (ModuleType(name) for name in _NAMES)
    vars(compiler).update(disable=_as_it_is, utils=utils, __path__=[])
    vars(utils).update(is_compile_supported=_is_compile_supported)
    sys.modules.update(zip(_NAMES, (compiler, utils), strict=True))
    try:
        import torchvision.transforms.v2.functional  # noqa: F401  # the rest of torchvision, and tv_tensors
    finally:
        for name in _NAMES:
            del sys.modules[name]
        torch.__dict__.pop("_dynamo", None)


def _as_it_is(function: Callable[..., Any], *_: object, **__: object) -> Callable[..., Any]:
    """In the place of `torch._dynamo.disable`, which keeps the compiler out of a function."""
    return function


def _is_compile_supported(device_type: str) -> bool:
    """In the place of `torch._dynamo.utils.is_compile_supported`."""
    from torch._dynamo.utils import is_compile_supported

    return is_compile_supported(device_type)
