"""OpenVINO, imported without its telemetry. Import it from here only.

`import openvino` alone reports its use to Google Analytics, unless the user has opted out. It does so by the package
`openvino_telemetry`, and goes without where that cannot be imported.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false

import sys
from typing import Any, cast

cast("dict[str, Any]", sys.modules).setdefault("openvino_telemetry", None)  # so that importing it fails

import openvino  # noqa: E402
from openvino import opset15 as opset  # noqa: E402
from openvino._offline_transformations import apply_moc_transformations  # noqa: E402
from openvino.frontend import FrontEndManager  # noqa: E402
from openvino.frontend.pytorch import ConversionExtension  # noqa: E402
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder  # noqa: E402

__all__ = [
    "ConversionExtension",
    "FrontEndManager",
    "TorchScriptPythonDecoder",
    "apply_moc_transformations",
    "openvino",
    "opset",
]
