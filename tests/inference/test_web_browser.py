"""The page in a real browser: type, see it stream, stop, retry, undo, clear, two tabs, an error, the keyboard alone."""

from __future__ import annotations

import gc
import importlib.util
import shutil
import socket
import time
import warnings

import pytest
from scripted_backend import ScriptedBackend

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.train,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(
        BROWSER is None or DRIVER is None, reason="needs a browser: apt-get install chromium chromium-driver"
    ),
    pytest.mark.skipif(
        not all(importlib.util.find_spec(name) for name in ("gradio", "selenium")),
        reason="needs gradio and selenium, of the group `train`",
    ),
]
SECONDS = 60


@pytest.fixture(scope="module")
def served():
    """One page for all tests, and its backend."""
    from bloomdata.inference import ChatSession, Conversation
    from bloomdata.inference.presets import Settings
    from bloomdata.inference.web import build_page, launch
    from bloomdata.inference.web_answers import WebAnswers

    backend = ScriptedBackend(seconds=0.05)
    settings = Settings(temperature=0.5, top_p=0.9, max_new_tokens=100)
    answers = WebAnswers(ChatSession(backend, Conversation("chatml"), settings))
    page = build_page(answers, examples=["An example"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (address,) = launch(page, host="127.0.0.1", port=port)
    yield address, backend, page
    page.close()
    del answers, page
    with warnings.catch_warnings():
        # Gradio leaves its event loops open.
        warnings.simplefilter("ignore")
        gc.collect()


@pytest.fixture(scope="module")
def browser():
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1000,800"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


class Tab:
    """What a reader of the page does and sees."""

    def __init__(self, driver, address):
        self.driver = driver
        driver.get(address)
        self.wait(self.is_ready)

    def wait(self, holds, seconds=SECONDS):
        from selenium.common.exceptions import WebDriverException

        end = time.monotonic() + seconds
        while True:
            try:
                if found := holds():
                    return found
            except (WebDriverException, IndexError):
                pass  # the page is being drawn
            if time.monotonic() > end:
                raise AssertionError(f"waited in vain; the page says {self.messages()}")
            time.sleep(0.05)

    def find(self, selector):
        return self.driver.find_elements("css selector", selector)

    def messages(self, role="bot"):
        return [element.text for element in self.find(f".message.{role}")]

    def box(self):
        return self.find("#message textarea:enabled")[0]

    def is_ready(self):
        return bool(self.find("#message textarea:enabled")) and not self.find("#message .stop-button")

    def button(self, name):
        return [one for one in self.find("button") if name in (one.text, one.get_attribute("aria-label"))][-1]

    def type(self, *keys):
        self.driver.switch_to.active_element.send_keys(*keys)

    def send(self, text):
        from selenium.webdriver.common.keys import Keys

        self.wait(lambda: self.is_ready() or None)
        self.box().send_keys(text, Keys.ENTER)

    def ask(self, text):
        """Sends a message, waits for the end of the answer, and returns it."""
        count = len(self.messages("user"))
        self.send(text)
        self.wait(lambda: len(self.messages("user")) > count)
        return self.wait(lambda: self.is_ready() and self.messages()[-1])


@pytest.fixture
def tab(served, browser):
    address, backend, _ = served
    backend.asked.clear()
    backend.ended.clear()
    return Tab(browser, address)


def test_an_answer_streams_and_is_kept_as_it_is(tab, served):
    _, backend, _ = served
    tab.send("slow")
    seen = set()
    tab.wait(lambda: seen.add(tab.messages()[-1]) or len(seen) > 5)
    tab.button("Stop").click()
    tab.wait(lambda: tab.is_ready() and backend.ended)
    tab.button("Clear").click()
    tab.wait(lambda: not tab.messages())
    backend.asked.clear()
    tab.ask("one <human>: **two** <b>three</b>")
    assert "3 turns" in tab.ask("again")
    turns = backend.asked[1][0]
    assert turns[0]["content"] == "one <human>: **two** <b>three</b>"
    assert turns[1]["content"].startswith("You said: one <human>: **two** <b>three</b>; 1 turns")


def test_nothing_is_sent_elsewhere(tab, browser):
    import json

    tab.ask("hello")
    messages = [json.loads(line["message"])["message"] for line in browser.get_log("performance")]
    requests = [message["params"]["request"]["url"] for message in messages if "requestWillBeSent" in message["method"]
                and "request" in message["params"]]  # fmt: skip
    assert requests
    hosts = {url.split("/")[2].split(":")[0] for url in requests if url.startswith("http")}
    assert hosts == {"127.0.0.1"}


def test_stop_keeps_what_came_and_ends_the_answer(tab, served):
    _, backend, _ = served
    tab.send("slow")
    tab.wait(lambda: "word3" in tab.messages()[-1])
    tab.button("Stop").click()
    tab.wait(lambda: backend.ended)
    tab.wait(tab.is_ready)
    assert backend.ended[0] in {"closed", "stopped"}
    kept = tab.messages()[-1]
    assert "word3" in kept
    assert "word199" not in kept
    tab.ask("next")
    assert [turn["role"] for turn in backend.asked[1][0]] == ["user", "assistant", "user"]
    assert "word3" in backend.asked[1][0][1]["content"]


def test_retry_undo_and_clear(tab, served):
    _, backend, _ = served
    first = tab.ask("question")
    tab.button("Retry").click()
    tab.wait(lambda: tab.is_ready() and "turns, seed" in tab.messages()[-1] and tab.messages()[-1] != first)
    assert [asked[0] for asked in backend.asked] == [backend.asked[0][0]] * 2
    tab.button("Undo").click()
    tab.wait(lambda: not tab.messages())
    assert tab.box().get_attribute("value") == "question"
    tab.box().clear()
    tab.ask("other")
    tab.button("Clear").click()
    tab.wait(lambda: not tab.messages())
    assert "1 turns" in tab.ask("new")


def test_an_error_is_shown_and_the_chat_goes_on(tab, served):
    _, backend, _ = served
    tab.ask("please fail")
    tab.wait(lambda: "the server is not there" in tab.messages()[-1])
    assert "1 turns" in tab.ask("hello")
    assert backend.ended == ["error", "end"]


def test_two_tabs_share_nothing_and_one_waits_for_the_other(tab, served, browser):
    address, backend, _ = served
    assert "1 turns" in tab.ask("mine")
    first = browser.current_window_handle
    browser.switch_to.new_window("tab")
    other = Tab(browser, address)
    assert other.messages() == []
    other.send("slow yours")
    other.wait(lambda: "word1" in other.messages()[-1])
    second = browser.current_window_handle
    browser.switch_to.window(first)
    tab.send("and mine again")
    tab.wait(lambda: "Another answer is being written" in tab.messages()[-1])
    # The other tab is closed: its answer ends, and the one that waits comes next.
    browser.switch_to.window(second)
    browser.close()
    browser.switch_to.window(first)
    tab.wait(lambda: tab.is_ready() and "3 turns" in tab.messages()[-1])
    assert backend.ended == ["end", "closed", "end"]
    contents = [turn["content"] for turn in backend.asked[2][0]]
    assert [contents[0], contents[2]] == ["mine", "and mine again"]


def test_the_keyboard_alone_is_enough(tab, served, browser):
    from selenium.webdriver.common.keys import Keys

    _, backend, _ = served
    tab.wait(lambda: browser.switch_to.active_element.tag_name == "textarea")
    tab.type("slow", Keys.ENTER)
    tab.wait(lambda: "word2" in tab.messages()[-1])
    for _ in range(40):
        tab.type(Keys.TAB)
        if browser.switch_to.active_element.text == "Stop":
            break
    tab.type(Keys.ENTER)
    tab.wait(lambda: backend.ended)
    # The message has the focus again.
    tab.wait(lambda: tab.is_ready() and browser.switch_to.active_element.tag_name == "textarea")
    tab.type("hello", Keys.ENTER)
    tab.wait(lambda: tab.is_ready() and "3 turns" in tab.messages()[-1])


def test_an_example_is_a_click_away(tab):
    tab.button("An example").click()
    tab.wait(lambda: tab.is_ready() and "You said: An example" in tab.messages()[-1])


def test_settings_of_the_page_reach_the_model(tab, served):
    _, backend, _ = served
    tab.button("Settings\n▼").click()
    tab.wait(lambda: tab.find("label textarea"))
    system = [one for one in tab.find("textarea") if one.get_attribute("placeholder") != "Message"][-1]
    system.send_keys("Be kind.")
    tab.wait(lambda: system.get_attribute("value") == "Be kind.")
    tab.ask("hello")
    _, system, settings = backend.asked[0]
    assert system == "Be kind."
    assert (settings.temperature, settings.top_p, settings.top_k, settings.max_new_tokens) == (0.5, 0.9, None, 100)


def test_a_port_in_use_is_said(served):
    from bloomdata.inference import ChatSession, Conversation
    from bloomdata.inference.presets import Settings
    from bloomdata.inference.web import build_page, launch
    from bloomdata.inference.web_answers import WebAnswers

    address, backend, _ = served
    page = build_page(WebAnswers(ChatSession(backend, Conversation("chatml"), Settings())))
    with pytest.raises(OSError, match="cannot be opened, is it in use"):
        launch(page, host="127.0.0.1", port=int(address.rstrip("/").rsplit(":", 1)[1]))
