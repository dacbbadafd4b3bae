"""The page in a real browser, end to end: drop, caption, temperature, beam search, a broken file, the keyboard."""

import re

import pytest
from demo_browser import Browser
from demo_samples import drawn, two_models
from PIL import Image

from say_what_you_see.page.server import DemoServer

STATUS = "[role=status]"
"""The live region, which announces each answer."""


@pytest.fixture(scope="module")
def server(finished_course, tmp_path_factory):
    running = DemoServer(two_models(finished_course.settings, tmp_path_factory.mktemp("attention"))).start()
    yield running
    running.stop()


@pytest.fixture
def browser(chromium_page, server) -> Browser:
    """The page, freshly loaded, with the first scene captioned."""
    chromium_page.look(1200, 900)
    chromium_page.problems.clear()
    chromium_page.requests.clear()
    chromium_page.open("about:blank")
    chromium_page.open(server.url)
    chromium_page.wait_for("document.querySelectorAll('.steps > li').length")
    return chromium_page


def announced(browser: Browser) -> str:
    return browser.run(f"document.querySelector('{STATUS}').textContent")


def test_a_picture_that_is_dropped_is_captioned_and_nothing_is_loaded_from_elsewhere(browser, server, tmp_path):
    photo = tmp_path / "my <b>photo.jpg"
    Image.fromarray(drawn(9)).resize((500, 400)).save(photo)
    with browser.changing(STATUS):
        browser.drop(".drop", [photo])
    sentence = browser.text(".sentence")
    request = {"picture": server.demo.add_picture(photo.read_bytes())["id"], "model": "Looks", "method": "greedy"}
    assert sentence == server.demo.caption(request)["captions"][0][0]
    assert announced(browser).startswith(f"Caption: {sentence}. Probability ")
    assert re.search(r"Probability of exactly this sentence: [\d.]+%", browser.text(".probability"))
    assert "my <b>photo.jpg, as the network sees it" in browser.text("figcaption"), "text is shown as text"
    words = browser.run("[...document.querySelectorAll('.step-word')].map((word) => word.innerText)")
    assert " ".join(word for word in words if word != "END") == sentence
    assert browser.run("document.querySelectorAll('.steps > li:first-child .bar').length") == 5
    own = f"http://127.0.0.1:{server.port}/"
    assert browser.requests and all(url.startswith((own, "data:image/", "about:")) for url in browser.requests)
    assert browser.problems == [], "a violation of the content security policy would be reported here"


def test_the_temperature_changes_caption_and_bars(browser):
    greedy = browser.text(".steps")
    with browser.changing(STATUS):
        browser.click("input[value=sample]")
    browser.run("document.querySelector('input[type=range]').focus()")
    seen = set()
    for _ in range(4):
        with browser.changing(".word-by-word > p"):
            browser.press("ArrowRight", 5)
        seen.add(browser.text(".steps"))
    assert "at temperature 3.0" in browser.text(".word-by-word > p")
    assert len(seen) == 4 and greedy not in seen


def test_beam_search_lists_what_it_found(browser):
    browser.click("input[value=beam]")
    browser.wait_for("document.querySelectorAll('.others li').length === 2")
    browser.run("document.querySelectorAll('input[type=range]')[1].focus()")
    browser.press("ArrowRight", 2)
    browser.wait_for("document.querySelectorAll('.others li').length === 4")


def test_a_broken_file_gets_a_message_and_loses_nothing(browser, tmp_path):
    sentence, square = browser.text(".sentence"), browser.run("document.querySelector('.frame img').src")
    (tmp_path / "letter.jpg").write_text("Dear Sir or Madam")
    browser.drop(".drop", [tmp_path / "letter.jpg"])
    browser.wait_for("document.querySelector('[role=alert]').innerText")
    message = browser.text("[role=alert]")
    assert message.startswith("letter.jpg cannot be used: the file is not a picture in a known format.")
    assert browser.text(".sentence") == sentence
    assert browser.run("document.querySelector('.frame img').src") == square
    assert browser.run("document.querySelectorAll('.tile.own').length") == 0
    with browser.changing(STATUS):
        browser.click(".tiles label:nth-child(2)")
    assert browser.text("[role=alert]") == "", "the message goes with the next picture"


def test_without_examples_there_is_nothing_to_see_until_a_picture_is_chosen(browser, server, tmp_path, monkeypatch):
    monkeypatch.setattr(server.demo, "examples", {})
    browser.open("about:blank")
    browser.open(server.url)
    browser.wait_for("document.querySelector('.drop')")
    (tmp_path / "letter.jpg").write_text("Dear Sir or Madam")
    browser.drop(".drop", [tmp_path / "letter.jpg"])
    browser.wait_for("document.querySelector('[role=alert]').innerText")
    assert not browser.run("document.querySelector('.result').checkVisibility()")
    Image.fromarray(drawn(9)).save(tmp_path / "scene.png")
    with browser.changing(STATUS):
        browser.drop(".drop", [tmp_path / "scene.png"])
    assert browser.run("document.querySelector('.result').checkVisibility()")


def test_everything_can_be_done_with_the_keyboard(browser):
    reached = []
    for _ in range(12):
        browser.press("Tab")
        reached.append(browser.run("(document.activeElement.value || document.activeElement.innerText || '')"))
        if browser.run("document.activeElement !== document.body"):
            shown = browser.run("""((active) => [active, active.nextElementSibling, active.closest('label')]
                .map((element) => element && getComputedStyle(element).outlineStyle))(document.activeElement)""")
            assert "solid" in shown, f"no focus to be seen on {reached[-1]!r}"
    assert browser.run("document.querySelector('input[type=file]').matches(':not([tabindex])')")
    assert {"example-0", "greedy", "Looks"} <= set(reached)
    browser.run("document.querySelector('input[value=example-0]').focus()")
    with browser.changing(STATUS):
        browser.press("ArrowRight")
    assert browser.run("document.querySelector('.tiles :checked').value") == "example-1"


def test_every_control_has_a_name(browser):
    browser.click("input[value=sample]")
    browser.wait_for("document.querySelector('.more:not([hidden]) button')")
    tree = browser.send("Accessibility.getFullAXTree")["nodes"]
    controls = {"radio", "slider", "button", "image", "textbox"}
    found = [node for node in tree if not node["ignored"] and node["role"]["value"] in controls]
    assert {"radio", "slider", "button", "image"} <= {node["role"]["value"] for node in found}
    unnamed = [node["role"]["value"] for node in found if not node.get("name", {}).get("value")]
    assert not unnamed


def test_a_word_shows_where_the_model_looked(browser):
    browser.run("document.querySelectorAll('button.word')[1].focus()")
    assert browser.run("getComputedStyle(document.querySelector('.overlay')).display") == "none"
    moving = "getComputedStyle(document.querySelector('.word')).animationName"
    assert browser.run(moving) == "none", "for who does not want movement"
    browser.look(1200, 900, still=False)
    assert browser.run(moving) == "caption-demo-appear"
    browser.press("Enter")
    browser.wait_for("document.querySelector('button.word[aria-pressed=true]')")
    assert "it looked mostly at" in announced(browser)
    lit = """(() => { const canvas = document.querySelector('.overlay');
        const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        const brightest = data.reduce((most, value, i) => (i % 4 < 3 ? Math.max(most, value) : most), 0);
        return [brightest, getComputedStyle(canvas).display]; })()"""
    brightest, display = browser.run(lit)
    assert brightest > 100 and display != "none"
    browser.press("Enter")
    browser.wait_for("document.querySelector('.overlay').hidden")
    with browser.changing(".steps"):
        browser.click("input[value=Decoder]")
    assert browser.run("document.querySelectorAll('canvas:not([hidden]), button.word').length") == 0


@pytest.mark.parametrize("width", [320, 1280])
def test_no_screen_is_too_narrow(browser, width):
    browser.look(width, 700)
    assert browser.run("document.documentElement.scrollWidth") <= width
    cut = """[...document.querySelectorAll('button, .button, .choice label, .sentence, .likely')].filter((one) => {
        const box = one.getBoundingClientRect();
        return box.width && (box.left < 0 || box.right > innerWidth + 1); }).length"""
    assert browser.run(cut) == 0


@pytest.mark.parametrize("dark", [False, True])
def test_text_is_readable_in_light_and_in_dark(browser, dark):
    browser.look(1200, 900, dark=dark)
    grounds = browser.run("getComputedStyle(document.body).backgroundColor")
    assert (luminance(grounds) < 0.1) == dark
    pairs = browser.run("""[...document.querySelectorAll('body *')].filter((element) => element.offsetParent &&
        [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim())).map((element) => {
            const colourOf = (one) => getComputedStyle(one).backgroundColor;
            let ground = element;
            while (ground !== document.body && colourOf(ground) === 'rgba(0, 0, 0, 0)') ground = ground.parentElement;
            return [getComputedStyle(element).color, colourOf(ground), element.className || element.tagName];
        })""")
    assert len(pairs) > 30
    for text, ground, name in pairs:
        low, high = sorted((luminance(text), luminance(ground)))
        assert (high + 0.05) / (low + 0.05) >= 4.5, name


def luminance(colour: str) -> float:
    """WCAG's relative luminance of `rgb(...)`, from 0 for black to 1 for white."""
    parts = [int(number) / 255 for number in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
