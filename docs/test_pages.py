"""The built manual in a browser: `make docs-test`, after `make docs`.

It takes the package chromium. Nothing from outside is asked for.
"""

import functools
import http.server
import pathlib
import shutil
import threading
import urllib.parse

import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import sync_playwright

HTML = pathlib.Path(__file__).parents[1] / "build" / "docs" / "html"
PAGES = sorted(str(path.relative_to(HTML)) for path in HTML.rglob("*.html"))

#: Where links to the outside may lead. They are not followed.
HOSTS = {
    *("docs.python.org", "github.com", "pradyunsg.me", "pyperf.readthedocs.io", "ui.perfetto.dev")
}

WIDTHS = {"desktop": 1280, "phone": 360}
LONG_MS = 30_000

FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]


def test_there_are_pages():
    wanted = {"index", "quickstart", "performance", "reference/locks", "how-it-works/lock"}
    assert {f"{name}.html" for name in wanted} <= set(PAGES), "run `make docs` first"


@pytest.fixture(scope="session")
def server():
    """Serve the manual; give the address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    handler = functools.partial(Quiet, directory=HTML)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def browser():
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.fail("There is no chromium: install the package chromium.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


class Visit:
    """A window, and what went wrong in it."""

    def __init__(self, browser, server, width, scheme="light"):
        self.server = server
        self.wrong = []
        size = {"width": width, "height": 900}
        self.page = browser.new_page(viewport=size, color_scheme=scheme)
        self.page.set_default_timeout(LONG_MS)
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.wrong.append(f"script: {error}"))
        self.page.on("request", self._request)
        self.page.on("requestfailed", self._failed)
        self.page.on("response", self._response)

    def _console(self, message):
        if message.type == "error":
            self.wrong.append(f"console: {message.text}")

    def _request(self, request):
        if not request.url.startswith((self.server, "data:", "blob:")):
            self.wrong.append(f"not from here: {request.url}")

    def _failed(self, request):
        if request.failure != "net::ERR_ABORTED":  # by going on to another page
            self.wrong.append(f"failed: {request.url}")

    def _response(self, response):
        if response.status >= 400:
            self.wrong.append(f"{response.status}: {response.url}")

    def go(self, path):
        self.page.goto(self.server + path, wait_until="load")
        return self.page


@pytest.fixture
def visit(browser, server):
    """Give a function that opens a window; in the end, nothing may have gone wrong in any."""
    visits = []

    def open_window(width=WIDTHS["desktop"], scheme="light"):
        visits.append(Visit(browser, server, width, scheme))
        return visits[-1]

    yield open_window
    for each in visits:
        each.page.close()
        assert not each.wrong


# ---- each page ----

# What is wider than the window, and in nothing that scrolls or cuts it off.
TOO_WIDE = """() => {
  const scrolls = e => e && e.tagName !== 'ARTICLE'
    && (getComputedStyle(e).overflowX !== 'visible' || scrolls(e.parentElement));
  return [...document.querySelectorAll('article, article *')]
    .filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !scrolls(e.parentElement))
    .map(e => e.outerHTML.slice(0, 200));
}"""


# The page of the search is empty without words; see below for that.
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("path", [path for path in PAGES if path != "search.html"])
def test_a_page_renders(path, width, visit):
    page = visit(WIDTHS[width]).go(path)
    assert "lowthread" in page.title()
    assert page.locator("h1").first.is_visible()
    text = page.locator("article, [role=main]").first.inner_text()
    assert len(text) > 100
    for mark in ("{doctest}", "{eval-rst}", "```", ":py:", "](", "{drawing}"):
        assert mark not in text, "markup is seen"
    broken = "images => images.filter(i => !(i.complete && i.naturalWidth > 0)).map(i => i.src)"
    assert page.locator("img").evaluate_all(broken) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[width]
    assert page.evaluate(TOO_WIDE) == []


WITH_DRAWINGS = [path for path in PAGES if 'class="drawing"' in (HTML / path).read_text("utf-8")]

# Whether all of a drawing is within its frame, and how well the words can be told from the page.
LOOK = """svg => {
  const frame = svg.viewBox.baseVal, all = svg.getBBox(), place = svg.getBoundingClientRect();
  const numbers = color => color.match(/[\\d.]+/g).slice(0, 3).map(Number);
  const light = color => {
    const [r, g, b] = numbers(color).map(c => {
      c /= 255;
      return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const words = light(getComputedStyle(svg.querySelector('text')).fill);
  const behind = light(getComputedStyle(document.body).backgroundColor);
  return {
    name: svg.getAttribute('aria-label'),
    texts: svg.querySelectorAll('text').length,
    wide: place.width, high: place.height,
    within: all.x >= frame.x && all.y >= frame.y && all.x + all.width <= frame.x + frame.width
      && all.y + all.height <= frame.y + frame.height,
    contrast: (Math.max(words, behind) + 0.05) / (Math.min(words, behind) + 0.05),
  };
}"""


def test_there_are_drawings():
    pages = {"lock", "thread", "exit", "fork"}
    assert {f"how-it-works/{name}.html" for name in pages} | {"performance.html"} == set(
        WITH_DRAWINGS
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", WITH_DRAWINGS)
def test_drawings_can_be_seen(path, scheme, visit):
    page = visit(scheme=scheme).go(path)
    drawings = page.locator("svg.drawing").all()
    assert drawings
    for drawing in drawings:
        seen = drawing.evaluate(LOOK)
        assert seen["name"]
        assert seen["texts"] >= 5, seen
        assert min(seen["wide"], seen["high"]) > 100, seen
        assert seen["within"], seen
        assert seen["contrast"] > 7, seen


def test_dark_is_dark(visit):
    shades = [
        visit(scheme=scheme)
        .go("index.html")
        .evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]")
        for scheme in ("light", "dark")
    ]
    assert int(shades[0]) > 200 and int(shades[1]) < 50


# ---- links ----


@functools.cache
def soup(path):
    return BeautifulSoup((HTML / path).read_text(encoding="utf-8"), "html.parser")


@functools.cache
def anchors(path):
    return {element["id"] for element in soup(path).find_all(id=True)}


def links(path):
    """Yield (what is written, the parsed address from the root of the manual)."""
    for element in soup(path).find_all(href=True):
        yield (
            element["href"],
            urllib.parse.urlsplit(urllib.parse.urljoin(f"http://manual/{path}", element["href"])),
        )


@pytest.mark.parametrize("path", PAGES)
def test_no_link_is_dead(path):
    for written, link in links(path):
        if link.netloc != "manual":
            assert link.scheme == "https" and link.netloc in HOSTS, written
            assert urllib.parse.quote(link.path, safe="/%~") == link.path, written
            continue
        target = urllib.parse.unquote(link.path).lstrip("/")
        assert (HTML / target).is_file(), f"{written} leads nowhere"
        if link.fragment and target.endswith(".html"):
            place = urllib.parse.unquote(link.fragment)
            assert place in anchors(target), f"{written}: no such place"


def test_every_page_can_be_found():
    linked = {
        urllib.parse.unquote(link.path).lstrip("/")
        for path in PAGES
        for _, link in links(path)
        if link.netloc == "manual" and link.path != f"/{path}"
    }
    assert set(PAGES) - linked == set()


def test_the_menu_leads_somewhere(visit):
    page = visit().go("index.html")
    page.locator(".sidebar-tree").get_by_role("link", name="Performance").click()
    page.wait_for_url("**/performance.html")
    assert page.locator("h1").inner_text().startswith("Performance")


# ---- search ----


@pytest.mark.parametrize(
    "words, target",
    [
        ("interrupt_main", "reference/threads.html"),
        ("allocate_lock", "reference/locks.html"),
        ("ThreadHandle", "reference/start.html"),
        ("AbandonedLockError", "reference/errors.html"),
        ("uninstall", "reference/program.html"),
        ("barging", "how-it-works/lock.html"),
        ("children", "threading.html"),
        ("pyperf", "performance.html"),
        ("Windows", "limits.html"),
    ],
)
def test_search(words, target, visit):
    page = visit().go("quickstart.html")
    box = page.locator("input[name=q]").first
    box.fill(words)
    box.press("Enter")
    page.wait_for_url("**/search.html?q=*")
    found = page.locator(f"#search-results li a[href*='{target}']").first
    found.wait_for()
    page.wait_for_load_state("networkidle")  # it reads pages, to show some words of each
    found.click()
    page.wait_for_url(f"**/{target}*")
    assert words in page.locator("article").first.inner_text()


def test_search_finds_nothing_where_nothing_is(visit):
    page = visit().go("search.html?q=xyzzyplugh")
    page.get_by_text("did not match any documents").wait_for()
    assert page.locator("#search-results li").count() == 0
