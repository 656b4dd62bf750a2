"""`last.pt`: everything a training needs to go on as though nothing had happened."""

import hashlib
import io
import pickle
from pathlib import Path
from typing import Any

import torch

from rokkit.errors import ArtefactError
from rokkit.files import aside
from rokkit.paths import shown

LAST = "last.pt"
DIGEST = hashlib.sha256().digest_size


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors, numbers, texts, lists, mappings) in one piece.

    A sha256 of the content follows it: torch's reader would take a flipped bit for a weight.

    Raises ArtefactError if the disk is full; an earlier checkpoint is then still whole.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getbuffer()
    with aside(path) as draft, draft.open("wb") as stream:
        stream.write(content)
        stream.write(hashlib.sha256(content).digest())


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read it back; ArtefactError that names the file if it is missing or damaged.

    Tensors come to the CPU; the modules that take them in move them to their own device.
    """
    try:
        held = path.read_bytes()
        content, digest = held[:-DIGEST], held[-DIGEST:]
        if hashlib.sha256(content).digest() != digest:
            raise EOFError("its checksum does not match")
        state: dict[str, Any] = torch.load(
            io.BytesIO(content), map_location="cpu", weights_only=True
        )
    except FileNotFoundError:
        raise ArtefactError(f"{shown(path)} is missing. Remove its folder and run again.") from None
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError) as error:
        raise ArtefactError(
            f"{shown(path)} is damaged ({error}). Remove it: training then starts over."
        ) from error
    return state
