"""Pages as a reader sees them: in headless Chromium, with no network. Skipped, with the reason, where it is missing."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.support.browser import OfflinePage


@pytest.fixture(scope="session")
def chromium() -> "Iterator[Browser]":
    """One headless Chromium for the whole session."""
    pytest.importorskip("playwright", reason="needs playwright: pip install playwright")
    from tests.support.browser import find_chromium, open_chromium

    executable = find_chromium()
    if executable is None:
        # CI installs it first, so that there these tests can't go missing unnoticed.
        assert "CI" not in os.environ, "there is no Chromium"
        pytest.skip("needs Chromium or Chrome: on Debian and Ubuntu, apt install chromium")
    with open_chromium(executable) as browser:
        yield browser


@pytest.fixture
def offline_page(chromium: "Browser") -> "Iterator[OfflinePage]":
    """A fresh page; that it asked for nothing outside and complained of nothing is checked at the end."""
    from tests.support.browser import OfflinePage

    page = OfflinePage(chromium)
    try:
        yield page
        page.check()
    finally:
        page.close()
