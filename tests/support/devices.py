"""Device nodes of our own: one of the system's could be lost by a mistake."""

import os
import stat

import pytest

NULL = os.makedev(1, 3)
FULL = os.makedev(1, 7)


def device(path, number):
    """Make the character device `number` at `path`; skips where devices cannot be made or opened."""
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, number)
        path.open("wb").close()
    except OSError as error:
        pytest.skip(f"devices cannot be made here: {error}")
    return path
