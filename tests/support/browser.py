"""A page in headless Chromium that notes what must not happen: errors, and requests that leave this machine."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, ViewportSize, sync_playwright

SCREENSHOTS = Path(__file__).parents[2] / "artifacts" / "screenshots"
"""Where the pictures of a test run are kept, to be looked at; git passes over them."""

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # A page that wants something from outside is told at once that there is no such host.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
_LOCAL_SCHEMES = ("data", "blob", "about", "file", "chrome-error")
# A page that is not there by then is not slow but broken, on two busy cores too.
_PATIENCE_MS = 20_000
_WIDE: ViewportSize = {"width": 1280, "height": 800}


def find_chromium() -> str | None:
    """The system's Chromium or Chrome; None where there is none."""
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


@contextmanager
def open_chromium(executable: str) -> Iterator[Browser]:
    """A headless browser without a network."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(_ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


class OfflinePage:
    """A page, and what went wrong on it.

    Attributes:
        page: Playwright's, to be driven as usual.
        errors: what the console and uncaught exceptions said, warnings included.
        outside: addresses of requests that were for another machine.
    """

    def __init__(self, browser: Browser, **context_options: object) -> None:
        options = {"viewport": _WIDE, "accept_downloads": True, **context_options}
        self._context = browser.new_context(**options)
        self._context.set_default_timeout(_PATIENCE_MS)
        self.page: Page = self._context.new_page()
        self.errors: list[str] = []
        self.outside: list[str] = []
        self._expected: list[re.Pattern[str]] = []
        # Of the context, so that frames, workers and pages that this one opens are heard too.
        self._context.on("request", self._note_request)
        self._context.on("console", self._note_console)
        self._context.on("weberror", lambda found: self._note(f"uncaught: {found.error}"))

    def expect(self, *patterns: str) -> None:
        """Pass over messages that match one of these regular expressions: somebody else's, and harmless."""
        self._expected.extend(map(re.compile, patterns))

    def check(self) -> None:
        """Assert that the page asked for nothing outside and complained of nothing."""
        assert self.outside == [], "requests that leave this machine"
        assert self.errors == [], "the console's warnings and errors"

    def screenshot(self, name: str, **options: object) -> Path:
        """Keep what the page looks like now as `<name>.png`."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        path = SCREENSHOTS / f"{name}.png"
        self.page.screenshot(path=path, **options)
        return path

    def close(self) -> None:
        self._context.close()

    def _note_request(self, request: Request) -> None:
        if not is_local(request.url):
            self.outside.append(request.url)

    def _note_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning", "assert"):
            self._note(f"{message.type}: {message.text} ({message.location.get('url', '')})")

    def _note(self, text: str) -> None:
        if not any(pattern.search(text) for pattern in self._expected):
            self.errors.append(text)


def is_local(address: str) -> bool:
    """Whether a request for this address stays on this machine."""
    parts = urlsplit(address)
    return parts.scheme in _LOCAL_SCHEMES or parts.hostname == "127.0.0.1"
