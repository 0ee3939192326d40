"""Goes through the console with Debian's Chromium: console.py URL KEYED_URL KEY [FOLDER]

The server at URL has no keys; that at KEYED_URL requires KEY. Pictures of the pages are written to FOLDER, if given.
"""

import base64
import json
import os
import sys
import time
import urllib.error
import urllib.request

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

URL, KEYED_URL, KEY, *FOLDER = sys.argv[1:]
HTTP = urllib.request.build_opener(urllib.request.ProxyHandler({}))
MODEL = "gemini-3-flash-preview"
#: Debian's, and names of it elsewhere.
CHROMIUM = next(filter(os.path.exists, ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")), None)
MAX_PAGE_BYTES = 150_000

#: Each is markup, a script, an escape of terminals, or a trick with the direction of text.
ESCAPES = [
    "<script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "<svg onload=\"document.title='owned'\"></svg>",
    "<svg><script>document.title='owned'</script></svg>",
    "<iframe srcdoc=\"<script>parent.document.title='owned'</script>\"></iframe>",
    "<body onload=\"document.title='owned'\">",
    "<details open ontoggle=\"document.title='owned'\">",
    "<input autofocus onfocus=\"document.title='owned'\">",
    "<a href=\"javascript:document.title='owned'\">here</a>",
    "<form action=\"javascript:document.title='owned'\"><button>here</button></form>",
    "<math><mtext><script>document.title='owned'</script></mtext></math>",
    "<style>*{display:none}</style>",
    "<link rel=stylesheet href=//evil.example/a.css>",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<base href=//evil.example/>",
    "<object data=//evil.example></object>",
    "<embed src=//evil.example>",
    "<video><source onerror=\"document.title='owned'\"></video>",
    "<marquee onstart=\"document.title='owned'\">",
    "</pre></div></main><h1>Not the console</h1>",
    "</textarea><script>document.title='owned'</script>",
    "</title><script>document.title='owned'</script>",
    "--><script>document.title='owned'</script><!--",
    "]]><script>document.title='owned'</script>",
    "\" onmouseover=\"document.title='owned'\" x=\"",
    "' onfocus='document.title=1' autofocus='",
    "&lt;script&gt;document.title='owned'&lt;/script&gt;",
    "&#60;script&#62;document.title='owned'&#60;/script&#62;",
    "{{constructor.constructor('document.title=1')()}}",
    "${document.title='owned'}",
    "`;document.title='owned';`",
    "javascript:document.title='owned'",
    "data:text/html,<script>document.title='owned'</script>",
    "\x1b[31mred\x1b[0m",
    "\x1b]0;owned\x07",
    "\x1b]8;;http://evil.example\x07link\x1b]8;;\x07",
    "\x9b2J\x9b1;1H",
    "a\x08\x08\x08b\x7f\x00c",
    "abc\u202efed\u2066ihg\u2069",
    "in\u200bvisi\u2060ble\ufeff",
]


def send(path, body, url=URL, key=None):
    request = urllib.request.Request(url + path, json.dumps(body).encode(), {"content-type": "application/json"})
    if key:
        request.add_header("x-goog-api-key", key)
    try:
        with HTTP.open(request, timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        return json.load(error)


def create(text, model=MODEL, **more):
    return send("/v1beta/interactions", {"model": model, "input": text, "tools": [{"type": "code_execution"}], **more})


def picture(page, name):
    if FOLDER:
        page.screenshot(path=f"{FOLDER[0]}/{name}.png", full_page=True)


def shown(text):
    """As the console shows it."""
    hidden = [*range(9), *range(11, 32), *range(0x7F, 0xA0), 0x200B, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2060, 0x206A), 0xFEFF]
    return "".join((f"\\x{ord(c):02x}" if ord(c) < 256 else f"\\u{ord(c):04x}") if ord(c) in hidden else c for c in text)


def axe(page):
    found = Axe().run(page).response["violations"]
    grave = [one for one in found if one["impact"] in ("serious", "critical")]
    assert not grave, f"{page.url}: {[(one['id'], [node['html'][:120] for node in one['nodes']][:3]) for one in grave]}"


def an_interaction_appears_without_a_reload(page):
    page.goto(URL + "/", wait_until="load")
    assert page.url.endswith("/console"), page.url
    page.evaluate("window.loaded_once = true")
    create("What is six times seven?")
    link = page.get_by_role("link", name="What is six times seven?")
    expect(link.first).to_be_visible()
    assert page.evaluate("window.loaded_once"), "the page was loaded again"
    expect(page.get_by_role("row", name="six times seven").first).to_contain_text("the answer")
    axe(page)
    picture(page, "interactions")
    # With the keyboard alone: the search, then a row.
    page.get_by_label("Search").focus()
    page.keyboard.type("nothing has this")
    page.keyboard.press("Enter")
    expect(page.get_by_text("No interaction matches.")).to_be_visible()
    page.goto(URL + "/console?q=TIMES+seven&status=completed")
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent").strip() == "What is six times seven?":
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("What is six times seven?")


def a_notebook_shows_what_the_code_did(page):
    code = "import matplotlib.pyplot as plt\nplt.plot([1, 3, 2])\nplt.show()\nprint('drawn')\n1/0"
    made = create(code, model="direct")
    page.goto(f"{URL}/console/interactions/{made['id']}")
    expect(page.locator("pre.code .k").first).to_have_text("import")
    expect(page.locator("article", has_text="Output").first).to_contain_text("ZeroDivisionError")
    pictures = [content for step in made["steps"] for content in step.get("content") or [] if content["type"] == "image"]
    assert len(pictures) == 1, made["steps"]
    image = page.locator("figure img")
    expect(image).to_be_visible()
    assert image.evaluate("image => image.complete && image.naturalWidth > 100")
    sent = page.request.get(URL + image.get_attribute("src"))
    assert sent.body() == base64.b64decode(pictures[0]["data"]), "the picture has other bytes"
    axe(page)
    picture(page, "notebook")
    page.get_by_text("Scenario", exact=True).click()
    expect(page.get_by_label("Scenario")).to_contain_text("print('drawn')")
    page.get_by_role("button", name="Run again").click()
    expect(page.locator("#again")).to_contain_text("ZeroDivisionError")
    expect(page.locator("#difference")).to_contain_text("The result is the same.")
    axe(page)
    made = create("import secrets\nprint(secrets.token_hex(20))", model="direct")
    page.goto(f"{URL}/console/interactions/{made['id']}")
    page.get_by_role("button", name="Run again").click()
    expect(page.locator("#difference ins")).to_have_count(1)
    expect(page.locator("#difference del")).to_have_count(1)


def a_running_interaction_grows(page):
    made = create("import time\nprint('began', flush=True)\ntime.sleep(1.5)\nprint('ended')", model="direct", background=True)
    page.goto(f"{URL}/console/interactions/{made['id']}")
    page.evaluate("window.loaded_once = true")
    expect(page.locator(".facts")).to_contain_text("completed", timeout=20_000)
    expect(page.locator("article", has_text="Output")).to_contain_text("ended")
    assert page.evaluate("window.loaded_once"), "the page was loaded again"


def a_near_miss_becomes_a_scenario(page):
    question = "How many legs have 3 'spiders' & \"flies\"?"
    refused = create(question)
    assert "error" in refused, refused
    page.goto(URL + "/console/requests?only=unmatched")
    axe(page)
    picture(page, "requests")
    page.get_by_role("link", name="How many legs").first.click()
    expect(page.locator(".conditions").first).to_contain_text("six times seven")
    axe(page)
    picture(page, "why-nothing-matched")
    text = page.get_by_label("Change it as you like").input_value()
    page.get_by_label("Change it as you like").fill(text.replace("The answer.", "Thirty."))
    page.get_by_role("button", name="Add this scenario").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Scenario added")
    answered = create(question)
    assert "Thirty." in json.dumps(answered), answered
    page.goto(URL + "/console/requests")
    page.get_by_role("link", name="How many legs").nth(1).click()
    page.get_by_label("Change it as you like").fill("scenarios: 7")
    page.get_by_role("button", name="Add this scenario").click()
    expect(page.get_by_role("alert")).to_contain_text("scenarios")


def a_fault_is_switched_on_and_hits(page):
    page.goto(URL + "/console/faults")
    expect(page.get_by_text("No fault is switched on")).to_be_visible()
    axe(page)
    page.get_by_role("button", name="Quota exceeded, once").click()
    expect(page.get_by_role("row", name="429")).to_contain_text("0")
    assert create("What is six times seven?")["error"]["code"] in (429, "resource_exhausted", "too_many_requests")
    # Without a reload.
    expect(page.get_by_role("row", name="429").get_by_role("cell").nth(1)).to_have_text("1")
    assert "error" not in create("What is six times seven?")
    page.get_by_label("Another fault").fill('{"status": 418}')
    page.get_by_role("button", name="Switch on").click()
    expect(page.get_by_role("alert")).to_contain_text("418")
    page.goto(URL + "/console/faults")
    axe(page)
    picture(page, "faults")
    page.get_by_role("button", name="Switch all off").click()
    expect(page.get_by_text("No fault is switched on")).to_be_visible()


def the_sandbox_runs_code(page):
    page.goto(URL + "/console/sandbox")
    expect(page.get_by_role("row", name="seccomp").first).to_contain_text("yes")
    page.get_by_label("Python, in a fresh cell").fill("import sys\nprint(sum(range(10)))\nprint('to stderr', file=sys.stderr)")
    page.get_by_role("button", name="Run").click()
    expect(page.locator("#result")).to_contain_text("45")
    expect(page.locator("#result")).to_contain_text("to stderr")
    axe(page)
    picture(page, "sandbox")


def texts_are_texts(page, requested):
    """Printed by code, and given as prompts, model names and file names."""
    assert len(ESCAPES) == 40
    code = "".join(f"print({text!r})\n" for text in ESCAPES) + "\nprint(" + repr("\n".join(ESCAPES)) + ")"
    made = create(code, model="direct")
    page.goto(f"{URL}/console/interactions/{made['id']}")
    output = page.locator("article", has_text="Output").first.locator("pre")
    lines = output.inner_text().split("\n")
    for text in ESCAPES:
        assert shown(text) in lines, f"{text!r} is not shown as text"
    for at, text in enumerate(ESCAPES):
        words = text.replace("\x00", "")
        create(f"{words} {at}", model=MODEL)
        send(f"/v1beta/models/{MODEL}:generateContent",
             {"contents": [{"parts": [{"text": words}]}], "systemInstruction": {"parts": [{"text": words}]}})
    send("/x/execute", {"code": "1"})
    names = [text.replace("/", "").replace("\x00", "")[:60] for text in ESCAPES]
    code = "".join(f"open({name!r}, 'w').write('x')\n" for name in names if name not in (".", ".."))
    create(code, model="direct")
    for path in ("/console", "/console/requests"):
        page.goto(URL + path)
        # The list is read again.
        page.wait_for_event("response", lambda response: response.url.startswith(URL + "/console"))
        check(page, path)
    links = page.locator("td.main a")
    for at in range(0, min(links.count(), 90), 6):
        page.goto(URL + "/console/requests")
        page.goto(URL + page.locator("td.main a").nth(at).get_attribute("href"))
        check(page, page.url)
    assert all(address.startswith((URL, KEYED_URL, "data:")) for address in requested), requested


def check(page, place):
    assert "owned" not in page.title() or "'owned'" in page.title(), f"{place}: a script has run: {page.title()}"
    assert page.get_by_role("heading", name="Not the console", exact=True).count() == 0, place
    for tag in ("iframe", "object", "embed", "style", "base", "video", "marquee", "math", "main svg", "main script", "main link"):
        assert page.locator(tag).count() == 0, f"{place}: <{tag}>"
    with_handlers = page.evaluate("[...document.querySelectorAll('*')].filter(e => [...e.attributes].some(a => a.name.startsWith('on'))).length")
    assert with_handlers == 0, place


def pages_read_without_scripts(browser):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(URL + "/console")
    page.get_by_role("link", name="What is six times seven?").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("What is six times seven?")
    page.get_by_role("button", name="Run again").click()
    expect(page.locator("#difference")).to_contain_text("The result is the same.")
    context.close()


def a_key_is_asked_for(browser):
    context = browser.new_context()
    page = context.new_page()
    page.goto(KEYED_URL + "/")
    expect(page).to_have_url(KEYED_URL + "/console/login")
    axe(page)
    picture(page, "login")
    page.get_by_label("API key").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_label("API key").fill(KEY)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Interactions")
    (cookie,) = context.cookies()
    assert cookie["httpOnly"] and cookie["sameSite"] == "Strict" and KEY not in cookie["value"], cookie
    tools = [{"type": "code_execution"}]
    made = send("/v1beta/interactions", {"model": MODEL, "input": "six times seven", "tools": tools}, KEYED_URL, KEY)
    expect(page.get_by_role("link", name="six times seven").first).to_be_visible()
    page.goto(f"{KEYED_URL}/console/interactions/{made['id']}")
    expect(page.get_by_role("heading", level=1)).to_have_text("six times seven")
    page.get_by_role("button", name="Log out").click()
    page.goto(f"{KEYED_URL}/console/interactions/{made['id']}")
    expect(page).to_have_url(KEYED_URL + "/console/login")
    context.close()


def the_first_page_is_small(browser):
    context = browser.new_context()
    page = context.new_page()
    received = []
    page.on("response", lambda response: received.append(len(response.body())))
    page.goto(URL + "/console", wait_until="networkidle")
    assert sum(received) <= MAX_PAGE_BYTES, f"{sum(received)} bytes"
    print(f"the first page has {sum(received)} bytes")
    context.close()


def main():
    assert CHROMIUM, "no Chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--no-proxy-server"])
        for scheme in ("light", "dark"):
            context = browser.new_context(color_scheme=scheme)
            context.set_default_timeout(20_000)
            page = context.new_page()
            complaints, requested = [], []
            page.on("console", lambda message, to=complaints: to.append(message.text) if message.type == "error" else None)
            page.on("pageerror", lambda error, to=complaints: to.append(str(error)))
            page.on("request", lambda request, to=requested: to.append(request.url))
            steps = [
                an_interaction_appears_without_a_reload, a_notebook_shows_what_the_code_did, a_running_interaction_grows,
                a_near_miss_becomes_a_scenario, a_fault_is_switched_on_and_hits, the_sandbox_runs_code,
            ]
            for step in steps if scheme == "light" else steps[:2]:
                began = time.monotonic()
                step(page)
                print(f"{step.__name__}: {time.monotonic() - began:.1f} s", flush=True)
            complaints = [one for one in complaints if "status of 400" not in one]
            assert not complaints, complaints
            if scheme == "light":
                the_first_page_is_small(browser)
                texts_are_texts(page, requested)
                print("texts_are_texts", flush=True)
            context.close()
        pages_read_without_scripts(browser)
        a_key_is_asked_for(browser)
        browser.close()


main()
