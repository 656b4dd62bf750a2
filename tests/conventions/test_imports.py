"""What is imported when: a model is trained without waiting for what draws tables or searches."""

import subprocess
import sys

import pytest

import rokkit.data
import rokkit.evaluation
import rokkit.retrieval

HEAVY = {"pandas", "numba", "matplotlib", "scipy", "sklearn", "pyarrow", "lightgbm", "faiss"}


def test_models_bases_and_training_need_torch_alone():
    code = (
        "import sys, rokkit.models, rokkit.knowledge, rokkit.training\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("package", [rokkit.data, rokkit.evaluation, rokkit.retrieval])
def test_what_is_named_is_there(package):
    """Names in a stub are looked up only when they are asked for, so a wrong one could hide."""
    assert package.__all__
    for name in package.__all__:
        assert getattr(package, name).__name__ == name
