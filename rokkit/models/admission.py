"""What a class has to be so that it can be registered as a model, or serve as a teacher."""

import dataclasses
import re
from typing import Any

from rokkit.errors import ConfigError
from rokkit.models.base import Backbone

TEACHER_PARTS = ("aggregate", "representation_dim", "representation_blocks")
# As systems (`MLP+ROK`, in any case), options (`mlp.dropout`) and folders (`mlp-s0-…`) hold it.
NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")


def check_name(name: str, taken: list[str]) -> None:
    """ConfigError if systems, options and folders cannot hold `name`, or if it is `taken`."""
    if not NAME.fullmatch(name):
        raise ConfigError(
            f"model {name!r}: expected a name of small letters and digits, with - or _ between "
            "them, such as 'my-model'. A system may name it in capitals."
        )
    if name in taken:
        raise ConfigError(
            f"model {name!r}: networks and estimators share their names, and this one is taken; "
            "expected another."
        )


def check_config(name: str, config: Any) -> None:
    """ConfigError if `config` cannot hold the settings of the model `name`."""
    fields = dataclasses.fields(config) if dataclasses.is_dataclass(config) else ()
    if "embed_dim" not in {field.name for field in fields}:
        raise ConfigError(
            f"model {name!r}: config is {config!r}; expected a dataclass with a field embed_dim."
        )


def check_class(name: str, target: Any, *, teacher: bool) -> type[Backbone]:
    """`target`; ConfigError if it is no Backbone, or cannot aggregate though it is to teach."""
    if not (isinstance(target, type) and issubclass(target, Backbone)):
        raise ConfigError(f"model {name!r} is {target!r}; expected a subclass of Backbone.")
    if teacher and not hasattr(target, "aggregate"):
        check_teacher(name, target, target.__name__)
    return target


def check_teacher(name: str, held: Any, called: str) -> None:
    """ConfigError if `held`, the teacher `name` or its class `called`, lacks what teaching takes.

    A class may leave the width and the blocks of r to what its `__init__` sets.
    """
    lacking = [part for part in TEACHER_PARTS if not hasattr(held, part)]
    if lacking:
        raise ConfigError(
            f"teacher {name!r}: {called} lacks {', '.join(lacking)}; a teacher gives r by "
            "`aggregate` and says how wide it is and what lies where in it, as properties or as "
            "attributes that __init__ sets."
        )
