"""figures/<study>/manifest.json, of figures that were not saved there but copied.

    python tools/manifests.py

`save_figure` writes the manifest of what it saves; a copy that leaves the manifest behind does not.
"""

from rokkit.experiments.figures import note_digests
from rokkit.paths import figures_root


def main() -> None:
    """Note every figure that lies there."""
    for folder in sorted(path for path in figures_root().iterdir() if path.is_dir()):
        note_digests(folder, sorted(path.stem for path in folder.glob("*.svg")))


if __name__ == "__main__":
    main()
