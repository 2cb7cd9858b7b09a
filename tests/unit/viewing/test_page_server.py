from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from maskprof.errors import ConfigError
from maskprof.viewing.page_server import serving


def test_the_page_is_there_and_nothing_else():
    with serving("<p>ü", 0) as address:
        assert address.startswith("http://127.0.0.1:")
        with urlopen(address) as answer:
            assert answer.read().decode() == "<p>ü"
            assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        with pytest.raises(HTTPError, match="404") as refused:
            urlopen(f"{address}etc/passwd")
        refused.value.close()
    with pytest.raises(OSError, match="refused"):
        urlopen(address)


def test_a_port_that_is_taken_is_said_and_the_next_free_one_found():
    with serving("first", None) as first, serving("second", None) as second:
        assert first != second
        port = int(second.rstrip("/").rpartition(":")[2])
        with (
            pytest.raises(ConfigError, match=f"--port: {port} is in use; choose another"),
            serving("third", port),
        ):
            pass
