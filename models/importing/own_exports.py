"""Reads what `tapetum export onnx` writes into the metadata of a file, beyond what other exporters write."""

import json
from collections.abc import Mapping

from models.entries import Kind, LetterboxPreprocessing, Preprocessing
from models.entries.latent_preprocessing import LatentPreprocessing
from models.export.onnx_model import PREPROCESSING
from models.kinds import KINDS
from models.sources.text_documents import convert_json


def own_preprocessing(metadata: Mapping[str, str], kind: Kind) -> Preprocessing | LetterboxPreprocessing | None:
    """Reads the preprocessing of an exported model.

    Args:
        metadata: Keys and values of the ONNX file.
        kind: Of the model.

    Returns:
        Its preprocessing; None where there is none, or none of this kind.
    """
    try:
        found = convert_json(json.loads(metadata.get(PREPROCESSING, "")), KINDS[kind].preprocessing)
    except (ValueError, TypeError, RecursionError):
        return None
    return None if isinstance(found, LatentPreprocessing) else found
