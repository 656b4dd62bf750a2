"""The side of a contender: a process that does what it is asked for, a JSON line per request.

    {"do": "search", "k": 10}        what is asked: the name of a task and its arguments
    {"cpu": 0.8, "wall": 0.9, ...}   what comes back
    {"missing": "..."}               it cannot take part here, and what would help
    {"failed": "..."}                it tried, and this went wrong

A contender may live in an environment of its own, so nothing but Python's own library is imported
here. One in another language answers in the same lines.
"""

import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any

Task = Callable[..., Mapping[str, Any] | None]


class NotHere(Exception):
    """The contender cannot take part on this machine; the message says what would help."""


def timed(work: Callable[[], Any]) -> dict[str, float]:
    """Processor and wall seconds of this process that `work` takes."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}


def serve(tasks: Mapping[str, Task]) -> None:
    """Answer until the asker is gone. What a library prints goes to stderr, out of the way."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        reply = json.dumps(_answer(tasks, json.loads(line)))
        replies.write(reply + "\n")
        replies.flush()


def _answer(tasks: Mapping[str, Task], request: dict[str, Any]) -> Mapping[str, Any]:
    name = request.pop("do")
    try:
        return tasks[name](**request) or {}
    except (NotHere, ImportError) as error:
        return {"missing": str(error)}
    except Exception as error:  # whatever it is, the others go on
        traceback.print_exc()
        return {"failed": f"{type(error).__name__}: {error}"}
