"""The page in a real browser: no error, no request, no sideways scroll, and filters that work."""

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from selenium.webdriver import Chrome, ChromeOptions, Keys
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait
from small_study import ROWS, WRONG, write_comparison

from analysis.report import write_report

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
HOSTILE = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"
SEEDS = (1, 2, 3)
PREDICTIONS = ROWS * len(WRONG) * len(SEEDS)
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
VIEWS = {"desktop": (1280, 900), "phone": (390, 844)}

pytestmark = [
    pytest.mark.skipif(
        CHROMIUM is None or DRIVER is None,
        reason="no chromium and chromedriver here: `make browser` installs them",
    ),
    pytest.mark.timeout(180),
]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("browsed")
    study = write_comparison(root, seeds=SEEDS, text=HOSTILE)
    return write_report([study], root / "report").page.as_uri()


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options=options, service=Service(str(DRIVER), env=dict(os.environ)))
    yield driver
    driver.quit()


def look(chrome: Chrome, address: str, view: str, scheme: str = "light") -> None:
    """Open the page as this view sees it; logs of earlier pages are gone."""
    width, height = VIEWS[view]
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": view == "phone"}
    chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    likes = {"prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce"}
    features = [{"name": name, "value": value} for name, value in likes.items()]
    chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": features})
    chrome.get_log("browser")
    chrome.get_log("performance")
    chrome.get(address)


def script(chrome: Chrome, text: str, *arguments: object) -> Any:
    return chrome.execute_script(text, *arguments)  # type: ignore[no-untyped-call]


def draw_all(chrome: Chrome) -> int:
    """Bring every figure into view and wait until it is drawn; return how many there are."""
    figures = chrome.find_elements(By.CSS_SELECTOR, "figure[data-figure]")
    for figure in figures:
        script(chrome, "arguments[0].scrollIntoView({behavior: 'instant'})", figure)
        WebDriverWait(chrome, 20).until(
            lambda _, figure=figure: "live" in (figure.get_attribute("class") or "")
        )
    return len(figures)


def count_said(chrome: Chrome) -> str:
    return chrome.find_element(By.ID, "count").text


def says(chrome: Chrome, said: str) -> bool:
    """Wait until the count says this, and fail if it does not."""
    WebDriverWait(chrome, 5).until(lambda _: count_said(chrome) == said, count_said(chrome))
    return True


def choose(chrome: Chrome, name: str, text: str) -> None:
    Select(chrome.find_element(By.ID, f"filter-{name}")).select_by_visible_text(text)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_no_error_no_request_and_no_sideways_scroll(
    chrome: Chrome, address: str, view: str, scheme: str
) -> None:
    look(chrome, address, view, scheme)
    assert draw_all(chrome) > 0
    assert [entry["message"] for entry in chrome.get_log("browser")] == []
    requests = [
        entry["message"]
        for entry in chrome.get_log("performance")
        if "Network.requestWillBeSent" in entry["message"]
    ]
    assert not [text for text in requests if '"url":"http' in text]
    wide, seen = script(
        chrome,
        "const page = document.documentElement; return [page.scrollWidth, page.clientWidth]",
    )
    assert wide <= seen


def test_hostile_text_is_shown_and_never_runs(chrome: Chrome, address: str) -> None:
    look(chrome, address, "desktop")
    draw_all(chrome)
    assert chrome.title == "Study report: small"
    shown = chrome.find_element(By.ID, "results").text
    assert HOSTILE in shown
    assert (
        script(chrome, "return document.querySelectorAll('#results img, #results script').length")
        == 0
    )


def test_all_errors_come_first(chrome: Chrome, address: str) -> None:
    look(chrome, address, "desktop")
    assert count_said(chrome) == f"{PREDICTIONS} predictions of {ROWS} rows"
    first = len(chrome.find_elements(By.CSS_SELECTOR, "#results > li"))
    chrome.find_element(By.ID, "more").click()
    rows = chrome.find_elements(By.CSS_SELECTOR, "#results > li")
    assert 0 < first < len(rows) == ROWS
    assert not chrome.find_element(By.ID, "more").is_displayed()
    assert chrome.switch_to.active_element == rows[first].find_element(By.TAG_NAME, "h3")
    with_error = ["wrong" in row.text for row in rows]
    assert with_error == sorted(with_error, reverse=True)
    assert sum(with_error) == max(WRONG.values())


def test_filters_work_alone_and_together_and_can_be_cleared(chrome: Chrome, address: str) -> None:
    look(chrome, address, "desktop")
    choose(chrome, "verdict", "wrong")
    wrong = sum(WRONG.values()) * len(SEEDS)
    assert says(chrome, f"{wrong} predictions of {max(WRONG.values())} rows")
    choose(chrome, "method", "r2d")
    assert says(chrome, f"{WRONG['r2d'] * len(SEEDS)} predictions of {WRONG['r2d']} rows")
    choose(chrome, "seed", "2")
    assert says(chrome, f"{WRONG['r2d']} predictions of {WRONG['r2d']} rows")
    choose(chrome, "gold", "no")  # of rows 9, 10 and 11 those with odd numbers
    assert says(chrome, "2 predictions of 2 rows")
    choose(chrome, "label", "no")
    assert says(chrome, "0 predictions of 0 rows")
    chrome.find_element(By.CSS_SELECTOR, "#filters button[type=reset]").click()
    assert says(chrome, f"{PREDICTIONS} predictions of {ROWS} rows")
    chrome.find_element(By.ID, "filter-text").send_keys("reference of 11.")
    assert says(chrome, f"{len(WRONG) * len(SEEDS)} predictions of 1 row")


def test_the_keyboard_reaches_the_content_and_the_filters(chrome: Chrome, address: str) -> None:
    look(chrome, address, "desktop")
    body = chrome.find_element(By.TAG_NAME, "body")
    body.send_keys(Keys.TAB)
    skip = chrome.switch_to.active_element
    assert skip.text == "Skip to the content"
    assert script(chrome, "return arguments[0].getBoundingClientRect().top", skip) >= 0
    skip.send_keys(Keys.ENTER)
    assert chrome.switch_to.active_element.get_attribute("id") == "content"
    verdict = chrome.find_element(By.ID, "filter-verdict")
    script(chrome, "arguments[0].focus()", verdict)
    verdict.send_keys("w")  # the first option that begins so
    WebDriverWait(chrome, 5).until(lambda _: not count_said(chrome).startswith(f"{PREDICTIONS} "))


def test_what_the_screen_reader_needs_is_there(chrome: Chrome, address: str) -> None:
    look(chrome, address, "desktop")
    draw_all(chrome)
    nameless = script(
        chrome,
        "return [...document.querySelectorAll('select, input')]"
        ".filter((field) => !field.labels.length).map((field) => field.id)",
    )
    assert nameless == []
    assert chrome.find_element(By.ID, "count").get_attribute("aria-live") == "polite"
    hidden = script(
        chrome,
        "return [...document.querySelectorAll('figure.live img')]"
        ".filter((image) => getComputedStyle(image).display === 'none' || !image.alt).length",
    )
    assert hidden == 0


def test_text_stands_out_from_its_ground(chrome: Chrome, address: str) -> None:
    for scheme in ("light", "dark"):
        look(chrome, address, "desktop", scheme)
        contrasts = script(chrome, CONTRAST)
        assert min(contrasts.values()) >= 4.5, (scheme, contrasts)


def test_paper_gets_pictures_instead_of_figures_and_no_filters(
    chrome: Chrome, address: str
) -> None:
    look(chrome, address, "desktop")
    draw_all(chrome)
    chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    shown = script(
        chrome,
        "return ['figure.live img', 'figure .drawn', '#filters', 'nav', '#results']"
        ".map((name) => document.querySelector(name).getBoundingClientRect().height > 10)",
    )
    assert shown == [True, False, False, False, False]


CONTRAST = """
const shade = (text) => {
  const [r, g, b] = text.match(/[0-9.]+/g).slice(0, 3).map(Number).map((value) => {
    const share = value / 255;
    return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = shade(getComputedStyle(document.body).backgroundColor);
const found = {};
for (const name of ['body', '.aside', 'nav a', '.verdict.right', '.verdict.wrong', 'th']) {
  const ink = shade(getComputedStyle(document.querySelector(name)).color);
  found[name] = (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
}
return found;
"""
