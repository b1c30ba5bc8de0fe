"""The page in a real browser with its network cut: errors, requests, accessibility, width, and the answers picked."""

import csv
import re
import shutil

import pytest

from nolabels.core.tables import read_table
from tests.workspace import stages_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.thorough,
    pytest.mark.skipif(not shutil.which("chromium"), reason="needs Debian's package chromium"),
]
SERIOUS = {"serious", "critical"}
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield found
        found.close()


class Visit:
    """A page opened from its file, and what the browser said of it."""

    def __init__(self, browser, path, **settings):
        self.context = browser.new_context(offline=True, accept_downloads=True, **settings)
        self.page = self.context.new_page()
        self.said, self.requests = [], []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.context.close()


def findings(page):
    """What axe-core finds serious or worse: its rule and the first place of each."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [(one["id"], one["nodes"][0]["html"][:200]) for one in found if one["impact"] in SERIOUS]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_the_page_is_whole_and_accessible(finished, browser, size, scheme):
    with Visit(browser, finished.root / "reports/index.html", viewport=size, color_scheme=scheme) as visit:
        page = visit.page
        page.locator("details").first.click()
        assert visit.said == []
        assert visit.requests == [(finished.root / "reports/index.html").as_uri()]
        assert findings(page) == []
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0
        # the colours of the scheme, not white on white
        shown = "const shown = getComputedStyle(document.body); [shown.backgroundColor, shown.color]"
        ground, ink = (int(re.search(r"\d+", colour)[0]) for colour in page.evaluate(shown))
        assert abs(ground - ink) > 150 and (ground < ink) == (scheme == "dark"), (ground, ink)


def test_it_prints_on_a4(finished, browser):
    with Visit(browser, finished.root / "reports/index.html") as visit:
        printed = visit.page.pdf(prefer_css_page_size=True)
        assert b"/MediaBox [0 0 594" in printed or b"/MediaBox [0 0 595" in printed
        assert visit.page.locator("#download").is_visible()
        visit.page.emulate_media(media="print")
        assert not visit.page.locator("#download").is_visible()


def test_answers_are_picked_by_keyboard_and_learned_from(project, browser):
    """The round: pick, download, put in place, run; select uses exactly those answers."""
    with Visit(browser, project.root / "reports/index.html") as visit:
        page = visit.page
        places = page.locator("select[data-id]")
        picked = {}
        for number, name in enumerate(["negative", "positive", "negative"]):
            places.nth(number).focus()
            page.keyboard.type(name)
            picked[places.nth(number).get_attribute("data-id")] = name
        assert page.locator("#count").inner_text() == "3 answers"
        with page.expect_download() as waiting:
            page.locator("#download").focus()
            page.keyboard.press("Enter")
        assert waiting.value.suggested_filename == "corrections.csv"
        waiting.value.save_as(project.root / "data/corrections.csv")
        assert visit.said == []
    with (project.root / "data/corrections.csv").open(encoding="utf-8", newline="") as file:
        assert {row["id"]: row["label"] for row in csv.DictReader(file)} == picked
    ran = stages_of(project.dvc("repro"))
    assert "select" in ran and "train" in ran
    assert not {"label", "score@teacher-pool", "score@teacher-dev", "score@teacher-test"} & set(ran)

    table = read_table(project.root / "data/teacher_train.parquet").to_pylist()
    people = {row["id"]: row["labels"] for row in table if row["source"] == "person"}
    assert people == {key: [name] for key, name in picked.items()}
