"""The watch itself: a page that does what it must not is found out."""

import pytest

pytestmark = pytest.mark.browser


def test_a_quiet_page_passes(offline_page):
    offline_page.page.set_content("<title>quiet</title><p>nothing happens")
    assert offline_page.page.title() == "quiet"
    offline_page.check()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("<script>console.error('no good')</script>", "error: no good"),
        ("<script>console.warn('not so good')</script>", "warning: not so good"),
        ("<script>setTimeout(() => { throw new Error('thrown') })</script>", "uncaught: thrown"),
    ],
    ids=["error", "warning", "exception"],
)
def test_complaints_are_found(chromium, content, complaint):
    from tests.support.browser import OfflinePage

    page = OfflinePage(chromium)
    page.page.set_content(content)
    page.page.wait_for_timeout(50)
    assert [error.startswith(complaint) for error in page.errors] == [True]
    with pytest.raises(AssertionError, match="the console's"):
        page.check()
    page.close()


def test_expected_complaints_are_passed_over(offline_page):
    offline_page.expect(r"^warning: known thing \d")
    offline_page.page.set_content("<script>console.warn('known thing 1')</script>")


def test_requests_for_other_machines_are_found_and_fail(chromium):
    from tests.support.browser import OfflinePage

    page = OfflinePage(chromium)
    page.page.set_content(
        "<script src='https://example.org/a.js'></script><img src='http://127.0.0.1:9/b.png'>"
    )
    page.page.wait_for_timeout(50)
    assert page.outside == ["https://example.org/a.js"]
    with pytest.raises(AssertionError, match="requests that leave"):
        page.check()
    page.close()
