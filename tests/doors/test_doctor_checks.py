"""rokkit.doctor: every check says OK, or what is wrong and what to do."""

import importlib.metadata
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

from rokkit import doctor
from rokkit.paths import root


@pytest.fixture
def lock(tmp_path: Path) -> Callable[..., Path]:
    """Writes a lock file of the given lines."""

    def write(*lines: str) -> Path:
        path = tmp_path / "requirements.lock"
        path.write_text("\n".join(lines) + "\n")
        return path

    return write


def lacking(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Packages of these names are not installed."""
    real = importlib.metadata.version

    def version(name: str) -> str:
        if name in names:
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr("importlib.metadata.version", version)


NUMPY = importlib.metadata.version("numpy")


def test_this_python_is_new_enough() -> None:
    found = doctor.python()
    assert (found.state, found.name) == ("OK", "python")
    assert sys.prefix in found.text


def test_an_old_python_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    old = SimpleNamespace(version_info=(3, 10, 1), prefix=sys.prefix)
    monkeypatch.setattr(doctor, "sys", old)
    found = doctor.python()
    assert (found.state, found.name) == ("FAIL", "python")
    assert "Python 3.11 or newer" in found.remedy


def test_a_lock_is_read_without_comments_and_markers(lock: Callable[..., Path]) -> None:
    path = lock("# made", "", "numpy==2.4.6", "torch==2.13.0 ; sys_platform == 'linux'  # cpu")
    assert doctor.read_lock(path) == {"numpy": "2.4.6", "torch": "2.13.0"}


def test_versions_as_in_the_lock(
    lock: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: "2.13.0+cpu")
    (found,) = doctor.packages(lock("torch==2.13.0"))
    assert found == doctor.Finding("OK", "packages", "1 as in requirements.lock")


def test_another_version_is_a_warning(lock: Callable[..., Path]) -> None:
    (found,) = doctor.packages(
        lock("numpy==1.0.0", f"pandas=={importlib.metadata.version('pandas')}")
    )
    assert (found.state, found.text) == ("WARN", f"numpy {NUMPY} (lock: 1.0.0)")
    assert "make setup" in found.remedy


def test_a_missing_package_that_rokkit_asks_for_fails(
    lock: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking(monkeypatch, "torch", "filelock")
    (found,) = doctor.packages(lock("torch==2.13.0", "filelock==3.15.0", f"numpy=={NUMPY}"))
    assert found == doctor.Finding("FAIL", "packages", "missing: filelock, torch", "make setup")


def test_a_missing_package_of_another_platform_is_fine(
    lock: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking(monkeypatch, "nvidia-cublas")
    (found,) = doctor.packages(lock("nvidia-cublas==13.0", f"numpy=={NUMPY}"))
    assert (found.state, found.text) == ("OK", "1 as in requirements.lock")


def test_missing_and_drifted_are_told_both(
    lock: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking(monkeypatch, "torch")
    found = list(doctor.packages(lock("torch==2.13.0", "numpy==1.0.0")))
    assert [one.state for one in found] == ["FAIL", "WARN"]


def test_no_lock_is_a_warning(tmp_path: Path) -> None:
    (found,) = doctor.packages(tmp_path / "requirements.lock")
    assert (found.state, found.name) == ("WARN", "packages")
    assert str(root()) in found.text


def test_torch_names_the_device_that_auto_takes() -> None:
    found = doctor.torch()
    assert (found.state, found.name) == ("OK", "torch")
    assert "device auto = " in found.text
    assert found.text.endswith(" cores")


def test_torch_that_cannot_be_imported_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    found = doctor.torch()
    assert (found.state, found.remedy) == ("FAIL", "make setup")
    assert found.text.startswith("cannot be imported")


@pytest.mark.parametrize(
    ("program", "state"),
    [
        (sys.executable, "OK"),
        ("python", "OK"),  # Jupyter puts its own Python in the place of these names
        ("python3", "OK"),
        ("/elsewhere/bin/python", "WARN"),
        ("no-such-program", "WARN"),
    ],
)
def test_the_kernel_is_this_environments(
    program: str, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    spec = SimpleNamespace(argv=[program, "-m", "ipykernel_launcher"])
    monkeypatch.setattr(KernelSpecManager, "get_kernel_spec", lambda self, name: spec)
    found = doctor.kernel()
    assert found.state == state
    if state == "WARN":
        assert f"python3 starts {program}, another environment" in found.text
        assert "make lab" in found.remedy


def test_no_kernel_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(self: Any, name: str) -> None:
        raise NoSuchKernel(name)

    monkeypatch.setattr(KernelSpecManager, "get_kernel_spec", missing)
    assert doctor.kernel() == doctor.Finding(
        "FAIL", "kernel", "there is no kernel python3", "make setup"
    )


@pytest.mark.parametrize(("gib", "state"), [(0.5, "FAIL"), (3.0, "WARN"), (80.0, "OK")])
def test_free_space_is_judged_where_a_folder_will_lie(
    gib: float, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def usage(folder: Path) -> Any:
        asked.append(folder)
        return SimpleNamespace(free=int(gib * 2**30))

    monkeypatch.setattr(doctor, "shutil", SimpleNamespace(disk_usage=usage))
    found = doctor.disk(tmp_path / "not" / "yet")
    assert asked == [tmp_path]
    assert (found.state, found.text) == (state, f"{gib} GiB free for {tmp_path}/not/yet")
    assert ("ROKKIT_DATA" in found.remedy) == (state != "OK")


def test_a_folder_that_cannot_be_written_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "os", SimpleNamespace(access=lambda path, mode: False, W_OK=2))
    found = doctor.disk(tmp_path / "runs")
    assert (found.state, found.text) == ("FAIL", f"{tmp_path} cannot be written")
    assert "ROKKIT_RUNS" in found.remedy


@pytest.mark.usefixtures("toy")
def test_data_tells_what_is_there_and_how_to_get_the_rest(places: Path) -> None:
    (places / "data" / "samples" / "toy-abc").mkdir(parents=True)
    (places / "data" / "samples" / "toy-abc" / "card.json").write_text("{}")
    found = {one.text.partition(":")[0]: one for one in doctor.data()}
    assert (found["toy"].state, found["toy"].text[-17:]) == ("OK", ", 1 samples built")
    assert found["journey"].state == "OK"
    assert "products.parquet, transactions.parquet" in found["journey"].text
    assert found["movielens"].state == "WARN"
    assert "rokkit data fetch movielens" in found["movielens"].text


@pytest.mark.usefixtures("places")
def test_every_check_is_made() -> None:
    names = [found.name for found in doctor.checks()]
    assert list(dict.fromkeys(names)) == ["python", "packages", "torch", "kernel", "disk", "data"]
    assert names.count("disk") == 2
