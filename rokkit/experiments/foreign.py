"""The source of models that are not rokkit's own, so that the key of a run can cover it."""

import inspect
import linecache
import sys

from rokkit.models import model_entry

KNOWN = {"rokkit", "torch", *sys.stdlib_module_names}  # their versions are in a run's report


def foreign_sources(name: str) -> list[str]:
    """Of the model `name`: its class, that of its settings, and what both inherit, where foreign.

    Empty for rokkit's own models, and where there is no source to look at: of a class typed at a
    prompt, and of one in a notebook cell that has no method of its own.
    """
    entry = model_entry(name)
    held = [made for top in (entry.target, entry.meta["config"]) for made in inspect.getmro(top)]
    foreign = [made for made in held if made.__module__.partition(".")[0] not in KNOWN]
    return [text for made in dict.fromkeys(foreign) if (text := source_of(made))]


def source_of(made: type) -> str:
    """The text of a class; of one that a notebook cell defines, that of the whole cell.

    "" if it cannot be found.
    """
    try:
        return inspect.getsource(made)
    except (OSError, TypeError):
        pass  # inspect looks into the file of the class's module, and a notebook has none
    for part in vars(made).values():
        function = getattr(part, "fget", None) or getattr(part, "__func__", part)
        code = getattr(inspect.unwrap(function), "__code__", None)
        text = "".join(linecache.getlines(code.co_filename)) if code is not None else ""
        if text:
            return text
    return ""
