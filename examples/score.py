"""Score one raw event by an exported model. Needs torch and numpy, not rokkit.

    python examples/score.py FOLDER '{"user": 12, "item": 7}' '[{"item": 3}, {"item": 5}]'

FOLDER is what `rokkit export` wrote. The event has raw values by field, and so has each past
behaviour, oldest first, if there are any. Prints the probability of a click. With ONNX Runtime the
last two lines are those of the model card, by the same `inputs`.
"""

import json
import sys
from bisect import bisect_left
from pathlib import Path

import numpy as np
import torch

folder, event, past = Path(sys.argv[1]), *map(json.loads, [*sys.argv, "[]"][2:4])
about = json.loads((folder / "artefact.json").read_text(encoding="utf-8"))
fields, arrays = about["schema"]["fields"], sorted(folder.glob("vocabulary/*.npy"))
ids, starts, texts = (np.load(path, mmap_mode="r") for path in arrays)  # ids.npy and so on


def id_of(field, values):  # 0 for what the vocabulary lacks; what is missing is the empty text
    text = str("" if values.get(field["name"]) is None else values[field["name"]]).encode()
    rows = range(field["offset"], field["offset"] + field["size"])
    row = rows.start + bisect_left(rows, text, key=text_of)
    return int(ids[row]) if row in rows and text_of(row) == text else 0


def text_of(row):
    return texts[starts[row] : starts[row + 1]].tobytes()


inputs = {"x": np.array([[id_of(field, event) for field in fields]], np.int32)}
if "history" in about["inputs"]:
    items = [field for field in fields if field["role"] == "item"]
    known = [row for row in ([id_of(field, one) for field in items] for one in past) if row[0]]
    inputs["history"] = np.zeros((1, *about["inputs"]["history"]["shape"][1:]), np.int32)
    for place, row in enumerate(known[-inputs["history"].shape[1] :]):
        inputs["history"][0, place] = row
program = torch.export.load(folder / about["programs"]["pt2"]).module()
print(f"{program(*map(torch.from_numpy, inputs.values())).item():.6f}")
