"""The pages of TensorBoard's profiler plugin, driven by what is written on them."""

import re

from playwright.sync_api import Frame, Page

from tests.support.viewer import VIEWER_REMARKS

TENSORBOARD_REMARKS = (
    # TensorBoard's own pages, about their own parts.
    r"Multiple instances of Three\.js being imported",
    r"paper-(header-panel|toolbar) is deprecated",
    *VIEWER_REMARKS,
)
"""What TensorBoard and the plugin say on pages that are in order, for `OfflinePage.expect`."""


class ProfilerPages:
    """The plugin inside TensorBoard, opened at `address`."""

    def __init__(self, page: Page, address: str) -> None:
        page.goto(f"{address}#pytorch_profiler")
        found = page.wait_for_selector("iframe").content_frame()
        assert found is not None
        self.frame: Frame = found
        self._page = page
        self.frame.get_by_text("Views").wait_for()

    def choices(self, heading: str) -> list[str]:
        """What can be chosen in the box below a heading of the bar at the left."""
        self._open(heading)
        found = self.frame.locator("li.MuiMenuItem-root").all_inner_texts()
        self._page.keyboard.press("Escape")
        self._wait_until_closed()
        return found

    def choose(self, heading: str, name: str, *, place: int = 0) -> None:
        """Choose in that box; where two have the same heading, in the one at `place`."""
        self._open(heading, place)
        self.frame.locator("li.MuiMenuItem-root").filter(has_text=re.compile(f"^{re.escape(name)}$")).click()
        self._wait_until_closed()

    def _open(self, heading: str, place: int = 0) -> None:
        headings = self.frame.get_by_text(heading, exact=True)
        headings.nth(place).locator("xpath=following::*[@role='button'][1]").click()
        self.frame.locator("li.MuiMenuItem-root").first.wait_for()

    def _wait_until_closed(self) -> None:
        self.frame.locator("li.MuiMenuItem-root").first.wait_for(state="detached")
