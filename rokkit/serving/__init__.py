"""What is shipped: programs that answer without rokkit, the vocabulary, and what says how to ask.

Nothing here knows a run folder; `rokkit.experiments.export` brings what a run holds.
"""

from rokkit.serving.artefact import ABOUT, Artefact, write_artefact
from rokkit.serving.folded import folded
from rokkit.serving.onnx import missing_packages, require_onnx, session, write_onnx
from rokkit.serving.programs import Program, exported, of_base, of_model
from rokkit.serving.vocabulary import write_vocabulary

__all__ = [
    "ABOUT",
    "Artefact",
    "Program",
    "exported",
    "folded",
    "missing_packages",
    "of_base",
    "of_model",
    "require_onnx",
    "session",
    "write_artefact",
    "write_onnx",
    "write_vocabulary",
]
