"""The chat page in a real browser: it streams, shows base and tuned side by side, stops, tells errors, and keeps hostile text inert."""
import os
import struct
import time
from pathlib import Path

import pytest
from browser import PROGRAM, Browser
from conftest import chat_model, start, tiny_host
from test_engine import quiet

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium is installed here")
HOSTILE = "<script>window.hit=1</script><img src=http://127.0.0.1:9/x onerror=window.hit=1>"


@pytest.fixture(scope="module")
def page(wordy_llama, adapter_folder):
    host, renderer = tiny_host(wordy_llama)
    models = [chat_model("base", host, renderer), chat_model("tuned", host, renderer, place=host.bank.add(adapter_folder(0)), parent="base")]
    found = start(models)
    browser = Browser(found.address)
    browser.until("document.readyState === 'complete' && document.getElementById('model').options.length === 2")
    browser.value("document.getElementById('tokens').value = '40'; 1")
    yield found, browser
    browser.close()
    found.stop()


def say(browser: Browser, words: str) -> None:
    browser.value(f"document.getElementById('words').value = {words!r}; document.getElementById('ask').requestSubmit(); 1")


def answers(browser: Browser) -> list[str]:
    return browser.value("[...document.querySelectorAll('.turn.assistant')].map(turn => turn.firstChild ? turn.firstChild.textContent : '')")


def test_base_and_tuned_answer_side_by_side(page, tmp_path):
    found, browser = page
    assert browser.value("document.getElementById('beside').checked && !document.getElementById('second').hidden"), "a tuned model and its base stand side by side at once"
    assert browser.value("document.getElementById('model').value + ' ' + document.getElementById('other').value") == "tuned base"
    say(browser, "Where is the violin?")
    browser.until("document.querySelectorAll('.note').length === 2 && [...document.querySelectorAll('.note')].every(note => note.textContent.includes('tokens'))")
    client = found.client()
    wanted = [client.chat.completions.create(model=name, messages=[{"role": "user", "content": "Where is the violin?"}], temperature=0, max_tokens=40).choices[0].message.content for name in ("tuned", "base")]
    assert answers(browser) == wanted and wanted[0] != wanted[1]
    data = browser.picture(Path(os.environ.get("LUTHIER_PICTURES", tmp_path)) / "beside.png")
    width, height = struct.unpack(">II", data[16:24])
    assert width > 1000 and height > 600 and len(data) > 10_000
    assert not browser.trouble() and all(url.startswith(found.address) for url in browser.asked() if not url.startswith("about:")), "nothing comes from elsewhere"


def test_the_second_question_sees_the_first(page):
    found, browser = page
    before = len(answers(browser))
    say(browser, "And the drum?")
    browser.until(f"document.querySelectorAll('.note').length === {before + 2}")
    first = answers(browser)[0]
    talk = [{"role": "user", "content": "Where is the violin?"}, {"role": "assistant", "content": first}, {"role": "user", "content": "And the drum?"}]
    wanted = found.client().chat.completions.create(model="tuned", messages=talk, temperature=0, max_tokens=40).choices[0].message.content
    assert wanted in answers(browser)
    browser.value("document.getElementById('new').click(); 1")
    assert answers(browser) == []


def test_text_comes_in_pieces_and_stop_stops(page):
    found, browser = page
    browser.value("document.getElementById('new').click(); document.getElementById('tokens').value = '120'; window.seen = []; new MutationObserver(() => { const turn = document.querySelector('.turn.assistant'); if (turn) window.seen.push(turn.textContent.length); }).observe(document.getElementById('first'), {childList: true, subtree: true, characterData: true}); 1")
    real = found.service.registry.find("tuned").host.batcher.forward

    def slow(*arguments):
        time.sleep(0.02)
        return real(*arguments)

    found.service.registry.find("tuned").host.batcher.forward = slow
    say(browser, "Tell me a long story")
    browser.until("new Set(window.seen).size >= 4")
    browser.value("document.getElementById('stop').click(); 1")
    browser.until("!document.getElementById('send').hidden")
    quiet(found.service.engine, 5)
    found.service.registry.find("tuned").host.batcher.forward = real
    assert found.service.registry.find("tuned").host.batcher.free == 16


def test_hostile_text_is_text(page, tmp_path):
    found, browser = page
    browser.value("document.getElementById('new').click(); 1")
    real = found.service.registry.find("tuned").view.tokenizer
    say(browser, HOSTILE)
    browser.until("document.querySelectorAll('.note').length >= 2")
    assert browser.value("document.querySelector('.turn.user').textContent") == HOSTILE and real is not None
    browser.value(f"show('first', 'assistant', {HOSTILE!r}); 1")
    time.sleep(0.2)
    assert browser.value("window.hit === undefined && document.querySelectorAll('.turn script, .turn img').length === 0")
    assert all(url.startswith(found.address) for url in browser.asked() if not url.startswith("about:"))


def test_an_error_is_told_in_its_place(page):
    found, browser = page
    browser.value("document.getElementById('new').click(); document.getElementById('tokens').value = '100000'; 1")
    say(browser, "too much")
    assert "256" in browser.until("document.querySelector('.turn.error') && document.querySelector('.turn.error').textContent")
    browser.value("document.getElementById('tokens').value = '16'; document.getElementById('new').click(); 1")
    say(browser, "now it works")
    browser.until("document.querySelectorAll('.note').length === 2 && !document.querySelector('.turn.error')")
