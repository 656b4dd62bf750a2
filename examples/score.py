"""Score one raw event by an exported model. Needs numpy and onnxruntime or torch, not rokkit.

    python examples/score.py FOLDER '{"user": 12, "item": 7}' '[{"item": 3}, {"item": 5}]'

FOLDER is what `rokkit export` wrote; the event has raw values by field, and so has each past
behaviour, oldest first, for a model that reads a history. Prints the probability of a click.
"""

import json
import sys
from bisect import bisect_left
from importlib.util import find_spec
from pathlib import Path

import numpy as np

folder, event = Path(sys.argv[1]), json.loads(sys.argv[2])
past = json.loads(sys.argv[3]) if len(sys.argv) > 3 else []
about = json.loads((folder / "artefact.json").read_text(encoding="utf-8"))
texts, starts, ids = (
    np.load(folder / "vocabulary" / f"{name}.npy", mmap_mode="r")
    for name in ("texts", "starts", "ids")
)


def id_of(field, values):
    """The id of a raw value; 0 for one that the vocabulary lacks. A missing one is empty."""
    value = values.get(field["name"])
    text = b"" if value is None else str(value).encode()
    spelt = lambda row: texts[starts[row] : starts[row + 1]].tobytes()  # noqa: E731
    stop = field["offset"] + field["size"]
    row = field["offset"] + bisect_left(range(field["offset"], stop), text, key=spelt)
    return int(ids[row]) if row < stop and spelt(row) == text else 0


fields = about["schema"]["fields"]
inputs = {"x": np.array([[id_of(field, event) for field in fields]], np.int32)}
if "history" in about["inputs"]:
    inputs["history"] = np.zeros((1, *about["inputs"]["history"]["shape"][1:]), np.int32)
    items = [field for field in fields if field["role"] == "item"]
    behaviours = [[id_of(field, one) for field in items] for one in past]
    known = [one for one in behaviours if one[0]][-inputs["history"].shape[1] :]
    inputs["history"][0, : len(known)] = np.reshape(known, (-1, len(items)))
if "onnx" in about["programs"] and find_spec("onnxruntime"):
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / about["programs"]["onnx"])
    (probability,) = session.run(None, inputs)
else:
    import torch

    program = torch.export.load(folder / about["programs"]["pt2"]).module()
    probability = program(*map(torch.from_numpy, inputs.values()))
print(f"{float(probability[0]):.6f}")
