"""The interactive page, driven for real: a headless Chromium clicks, hovers, types and steps, and the tests read what
the page then shows.

The browser is spoken to by the WebDriver protocol, which is JSON over HTTP, so no package is needed.
"""

import itertools
import json
import re
import shutil
import subprocess
import sys
import time
import urllib.request
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import autodiff as ad
import nn
from autodiff.core.errors import ArgumentError, AutodiffError
from autodiff.core.op import registry
from autodiff.viz import draw
from autodiff.viz.derivations import DERIVATIONS, derivation_of
from autodiff.viz.formulas import TEXTBOOK, formula_of, tree, typeset
from autodiff.viz.html import asset, safe_json, to_html
from autodiff.viz.view import ClusterView, EdgeView, GraphView, NodeView
from nn import functional as F

sys.path.insert(0, str(Path(__file__).parent))
from test_viz_layered import DIRECTIONS, graphs

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
ENTER, ESCAPE = "\ue007", "\ue00c"
needs_browser = pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="needs Chromium and chromedriver")


class Browser:
    """The few commands of WebDriver that these tests use."""

    def __init__(self, profile):
        self.log = open(profile / "driver.log", "w+")
        self.process = subprocess.Popen([DRIVER, "--port=0"], stdout=self.log, stderr=subprocess.STDOUT)
        port = None
        for _ in range(200):
            match = re.search(r"started successfully on port (\d+)", (profile / "driver.log").read_text())
            if match:
                port = match[1]
                break
            time.sleep(0.1)
        self.base = f"http://127.0.0.1:{port}"
        flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-component-update",
        ]
        flags += ["--disable-sync", "--no-first-run", "--window-size=1300,900", f"--user-data-dir={profile / 'user'}"]
        options = {"goog:chromeOptions": {"binary": CHROMIUM, "args": flags}, "goog:loggingPrefs": {"browser": "ALL"}}
        made = self.send("POST", "/session", {"capabilities": {"alwaysMatch": options}})
        self.base += f"/session/{made['sessionId']}"

    def send(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def close(self):
        try:
            self.send("DELETE", "")
        finally:
            self.process.terminate()
            self.process.wait(10)
            self.log.close()

    def open(self, path, fragment=""):
        self.send("POST", "/url", {"url": "about:blank"})
        self.send("POST", "/url", {"url": path.as_uri() + fragment})
        for _ in range(100):
            if self.script("return document.body.dataset.ready") == "yes":
                return
            time.sleep(0.1)
        raise AssertionError(f"the page did not start: {self.send('POST', '/se/log', {'type': 'browser'})}")

    def script(self, code, *args):
        return self.send("POST", "/execute/sync", {"script": code, "args": list(args)})

    def find(self, selector):
        return self.send("POST", "/element", {"using": "css selector", "value": selector})[ELEMENT]

    def point(self, selector, press):
        """Move the mouse to the middle of an element, and press its button or not."""
        actions = [{"type": "pointerMove", "duration": 0, "origin": {ELEMENT: self.find(selector)}, "x": 0, "y": 0}]
        if press:
            actions += [{"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
        mouse = {"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": actions}
        self.send("POST", "/actions", {"actions": [mouse]})
        self.settle()

    def click(self, selector):
        self.point(selector, True)

    def hover(self, selector):
        self.point(selector, False)

    def keys(self, text):
        actions = [
            step for key in text for step in ({"type": "keyDown", "value": key}, {"type": "keyUp", "value": key})
        ]
        self.send("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})
        self.settle()

    def settle(self):
        """Wait until the page has drawn twice, so that what was clicked or typed has been dealt with."""
        code = "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => done()))"
        self.send("POST", "/execute/async", {"script": code, "args": []})

    def text(self, selector):
        return self.script("return document.querySelector(arguments[0]).textContent", selector)

    def titles(self):
        return self.script("return [...document.querySelectorAll('#picture .node .title')].map(e => e.textContent)")

    def node(self, title):
        """A selector for the box with this title."""
        code = (
            "return [...document.querySelectorAll('#picture .node')].find(e => e.querySelector('.title').textContent"
            " === arguments[0])?.id"
        )
        found = self.script(code, title)
        assert found, f"no box {title!r} among {self.titles()}"
        return f"#{found}"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("browser"))
    yield browser
    browser.close()


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(4)
        self.mix = nn.Linear(4, 4)

    def forward(self, x):
        return x + np.tanh(self.mix(self.norm(x)))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(3, 4)
        self.blocks = nn.ModuleList([Block() for _ in range(6)])
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    draw(lambda x, y: x * np.sin(y) + x, 2.0, 3.0, values=True, gradients=True).save(folder / "scalar.html")
    draw(Net(), np.ones((2, 3)), values=True, gradients=True, depth=1).save(folder / "net.html")
    hostile = ad.tensor(1.0, requires_grad=True, name="</script><script>document.title='owned'</script>")
    draw(hostile * hostile, title='<img src=x onerror="document.title=1">').save(folder / "hostile.html")
    x = y = ad.tensor(1.0, requires_grad=True, name="start")
    for i in range(6000):
        y = y * 1.001 if i % 3 else np.sin(y) + x
    draw(y).save(folder / "long.html")
    return folder


@needs_browser
def test_a_click_opens_and_folds_a_block(browser, pages):
    browser.open(pages / "net.html")
    before = browser.titles()
    assert "layer_norm" not in before
    browser.click(browser.node("norm"))
    opened = browser.titles()
    assert {"layer_norm", "blocks.0.norm.weight", "blocks.0.norm.bias"} <= set(opened)
    browser.click('#picture .button[aria-label="fold norm"]')
    assert sorted(browser.titles()) == sorted(before)


@needs_browser
def test_arrays_are_pictures_in_the_boxes_and_large_beside_them(browser, pages):
    browser.open(pages / "net.html")
    assert browser.script(
        "return [...document.querySelectorAll('#picture image.heat')]"
        ".every(i => i.getAttribute('href').startsWith('data:image/png'))"
    )
    assert browser.script("return document.querySelectorAll('#picture image.heat.gradient').length") > 3
    browser.click(browser.node("embed.weight"))
    assert browser.text("aside figcaption").startswith("value: ")
    assert browser.script("return document.querySelector('aside img').naturalWidth") == 3


@needs_browser
def test_a_repeated_block_shows_any_of_its_copies_or_all(browser, pages):
    browser.open(pages / "net.html")
    assert "blocks.*  ×6" in browser.text("#picture .cluster.repeat .heading")
    browser.click('#picture .button[aria-label="next copy"]')
    assert browser.text("#picture .controls.repeat .caption") == "2 of 6"
    browser.click(browser.node("norm"))
    assert "blocks.1.norm.weight" in browser.titles()
    browser.click('#picture .button[aria-label="show all copies"]')
    assert [t for t in browser.titles() if t.startswith("blocks.")][:1] != []
    assert (
        len(
            browser.script(
                "return [...document.querySelectorAll('#picture .cluster.module, #picture .node.fold')].map(e => e.id)"
            )
        )
        >= 6
    )
    assert not browser.script("return document.querySelectorAll('#picture .edge.carry').length")


@needs_browser
def test_one_button_switches_between_architecture_and_operations(browser, pages):
    browser.open(pages / "net.html")
    browser.keys("e")
    assert "layer_norm" in browser.titles()
    before = browser.titles()
    browser.click("#modules")
    assert {"embed", "norm", "mix", "head", "tanh"} <= set(browser.titles())
    assert "layer_norm" not in browser.titles()
    assert "16 parameters" not in before
    assert "20 parameters" in browser.text(browser.node("mix"))
    assert browser.script("return document.getElementById('modules').getAttribute('aria-pressed')") == "true"
    browser.keys("m")
    assert sorted(browser.titles()) == sorted(before)


@needs_browser
def test_hovering_tells_the_details(browser, pages):
    browser.open(pages / "scalar.html")
    browser.hover(browser.node("sin"))
    tip = browser.text("#tip")
    assert "operation: sin" in tip
    assert f"value: {np.sin(3.0):.5g}" in tip
    assert not browser.script("return document.getElementById('tip').hidden")


@needs_browser
def test_searching_opens_what_is_folded(browser, pages):
    browser.open(pages / "net.html")
    assert "blocks.4.norm.weight" not in browser.titles()
    browser.click("#find")
    browser.keys("blocks.4.norm.w\ue007")
    assert "blocks.4.norm.weight" in browser.titles()
    assert browser.text("#side h2") == "blocks.4.norm.weight"
    assert "found" in browser.script(
        "return document.querySelector(arguments[0]).getAttribute('class')", browser.node("blocks.4.norm.weight")
    )
    browser.click("#find")
    browser.keys("no such thing")
    assert "nothing of that name" in browser.text("#found")


@needs_browser
def test_choosing_a_parameter_lights_the_way_to_the_result(browser, pages):
    browser.open(pages / "scalar.html")
    browser.click(browser.node("y"))
    lit = browser.script(
        "return [...document.querySelectorAll('#picture .node:not(.dim) .title')].map(e => e.textContent)"
    )
    assert sorted(lit) == sorted(["y", "sin", "×", "+"])
    assert browser.script("return document.querySelectorAll('#picture .edge.on').length") == 3
    browser.keys("p")
    assert browser.script("return document.querySelectorAll('#picture .dim').length") == 0


@needs_browser
def test_stepping_backward_shows_each_cotangent_with_its_numbers(browser, pages):
    browser.open(pages / "scalar.html")
    browser.click("#step")
    told = []
    for _ in range(5):
        badges = browser.script("return [...document.querySelectorAll('.badge')].map(e => e.textContent)")
        told.append((browser.text("#what"), browser.text("#sends"), badges))
        browser.keys("n")
    heads = [head.split()[0] for head, _, _ in told]
    assert heads[:2] == ["+", "×"]
    assert sorted(heads[2:]) == ["sin", "x", "y"]
    assert heads.index("y") > heads.index("sin")
    assert "runs first, with g = 1" in told[0][0]
    assert f"g * y  =  1 * {np.sin(3.0):.5g}  =  {np.sin(3.0):.5g}" in told[1][1]
    assert f"g * cos(x)  =  2 * cos(3)  =  {2 * np.cos(3.0):.5g}" in told[heads.index("sin")][1]
    arrives = next(head for head, _, _ in told if head.startswith("x "))
    assert (
        f"{np.sin(3.0):.5g} + 1 = {np.sin(3.0) + 1:.5g}" in arrives
        or f"1 + {np.sin(3.0):.5g} = {np.sin(3.0) + 1:.5g}" in arrives
    )
    assert told[0][2] == ["∂ 1", "∂ 1", "∂ 1"]
    assert browser.text("#count") == "step 5 of 5"
    browser.keys("\ue00c")
    assert browser.script("return document.getElementById('steps').hidden")


@needs_browser
def test_everything_can_be_done_with_the_keyboard(browser, pages):
    browser.open(pages / "net.html")
    count = len(browser.titles())
    browser.script("document.querySelector(arguments[0]).focus()", browser.node("norm"))
    browser.keys("\ue007")
    assert len(browser.titles()) > count
    browser.script("document.querySelector(arguments[0]).focus()", browser.node("embed.weight"))
    browser.keys("\ue015")
    assert browser.script("return document.activeElement.querySelector('.title').textContent") == "linear"
    browser.keys("f")
    assert len(browser.titles()) == count
    before = browser.script("return document.querySelector('#picture > g').getAttribute('transform')")
    browser.keys("+")
    assert browser.script("return document.querySelector('#picture > g').getAttribute('transform')") != before
    browser.keys("?")
    assert browser.script("return document.getElementById('help').open")


@needs_browser
def test_a_fragment_opens_at_a_step_and_the_theme_can_be_changed(browser, pages):
    browser.open(pages / "scalar.html", "#step=3")
    assert browser.text("#count") == "step 3 of 5"
    colour = "return getComputedStyle(document.body).backgroundColor"
    light = browser.script(colour)
    browser.click("#theme")
    assert browser.script(colour) != light


@needs_browser
def test_a_reader_who_asks_for_less_motion_or_a_dark_page_gets_it(browser, pages):
    def emulate(**wishes):
        features = [{"name": f"prefers-{name.replace('_', '-')}", "value": value} for name, value in wishes.items()]
        facts = {"cmd": "Emulation.setEmulatedMedia", "params": {"features": features}}
        browser.send("POST", "/goog/cdp/execute", facts)

    moves = "return getComputedStyle(document.querySelector('.edge.sending path')).animationName"
    ground = "return getComputedStyle(document.body).backgroundColor"
    try:
        for motion, scheme, name, page in (
            ("reduce", "dark", "none", "rgb(13, 17, 23)"),
            ("no-preference", "light", "flow", "rgb(255, 255, 255)"),
        ):
            emulate(reduced_motion=motion, color_scheme=scheme)
            browser.open(pages / "scalar.html")
            browser.keys("b")
            assert browser.script(moves) == name
            assert browser.script(ground) == page
    finally:
        emulate()


@needs_browser
def test_a_box_reads_as_sentences_and_its_panel_closes(browser, pages):
    browser.open(pages / "scalar.html")
    label = "return document.querySelector(arguments[0]).getAttribute('aria-label')"
    assert browser.script(label, browser.node("sin")).startswith(
        "sin, operation of shape scalar float64. Computed from y."
    )
    assert "Value 0.14112. Gradient 2." in browser.script(label, browser.node("sin"))
    browser.click(browser.node("sin"))
    browser.click('aside [aria-label="close details"]')
    assert browser.script("return document.getElementById('side').hidden")


@needs_browser
def test_a_print_holds_the_whole_picture_and_nothing_else(browser, pages):
    browser.open(pages / "net.html")
    browser.send("POST", "/goog/cdp/execute", {"cmd": "Emulation.setEmulatedMedia", "params": {"media": "print"}})
    try:
        browser.script("dispatchEvent(new Event('beforeprint'))")
        box = "const r = arguments[0].getBoundingClientRect(); return [r.left, r.top, r.right, r.bottom]"
        left, top, right, bottom = browser.script(box.replace("arguments[0]", "document.getElementById('picture')"))
        boxes = browser.script(
            "return [...document.querySelectorAll('#picture .node')].map(e => { const r = e.getBoundingClientRect();"
            " return [r.left, r.top, r.right, r.bottom]; })"
        )
        assert boxes
        for a, b, c, d in boxes:
            assert left <= a
            assert top <= b
            assert c <= right
            assert d <= bottom
        assert browser.script("return document.getElementById('step').offsetParent === null")
        browser.script("dispatchEvent(new Event('afterprint'))")
        assert browser.script("return document.querySelector('#picture > g').hasAttribute('transform')")
    finally:
        browser.send("POST", "/goog/cdp/execute", {"cmd": "Emulation.setEmulatedMedia", "params": {"media": ""}})


@needs_browser
def test_steps_of_a_program_that_failed_say_so(browser, tmp_path):
    draw(lambda a, b: np.sin(a) @ b, np.ones((2, 3)), np.ones(4), values=True).save(tmp_path / "page.html")
    browser.open(tmp_path / "page.html")
    browser.keys("b")
    assert browser.text("#what") == "The program stopped at @, so nothing runs backward."
    browser.keys("a")
    browser.keys("nnn")
    assert browser.text("#what").startswith("@ fails with ")


@needs_browser
def test_names_stay_text(browser, pages):
    browser.open(pages / "hostile.html")
    assert browser.script("return document.title") == '<img src=x onerror="document.title=1">'
    assert any(t.startswith("</script>") for t in browser.titles())
    assert browser.script("return document.querySelectorAll('img').length") == 0
    assert browser.script("return document.querySelectorAll('script').length") == 4


@needs_browser
def test_text_stays_in_its_box(browser, pages):
    for page in ("scalar.html", "net.html", "hostile.html"):
        browser.open(pages / page)
        browser.keys("e")
        outside = browser.script(
            "return [...document.querySelectorAll('#picture .node')].filter(n => { const b ="
            " n.querySelector('.body').getBoundingClientRect(); return [...n.querySelectorAll('text')].some(t => {"
            " const r = t.getBoundingClientRect(); return r.left < b.left - 1 || r.right > b.right + 1 || r.top < b.top"
            " - 2 || r.bottom > b.bottom + 2 }) }).map(n => n.id)"
        )
        assert outside == []


@needs_browser
def test_a_long_program_opens_folded_and_opens_by_parts(browser, pages):
    browser.open(pages / "long.html")
    assert len(browser.titles()) < 150
    browser.keys("e")
    assert len(browser.titles()) <= 400
    if browser.script("return document.querySelectorAll('#picture .button[aria-label=\"show all copies\"]').length"):
        browser.click('#picture .button[aria-label="show all copies"]')
        assert "open a part of it" in browser.text("#said")


@needs_browser
def test_nothing_is_fetched_and_nothing_is_complained_of(browser, pages):
    for page in sorted(pages.glob("*.html")):
        browser.open(page)
        assert browser.script("return performance.getEntriesByType('resource').length") == 0
    assert [entry for entry in browser.send("POST", "/se/log", {"type": "browser"}) if entry["level"] == "SEVERE"] == []


def looped(program, rounds):
    """A program of ``rounds`` equal rounds: a value carried along, weights that all share, one result kept aside."""
    steps = {
        "sin": lambda y, w, x: np.sin(y),
        "weigh": lambda y, w, x: y * w,
        "twice": lambda y, w, x: y + y,
        "skip": lambda y, w, x: y * 0.5 + x,
        "mix": lambda y, w, x: np.tanh(y * w) + np.cos(y),
    }

    def f(x, w):
        y, kept = x, []
        for _ in range(rounds):
            before = y
            for name in program:
                y = steps[name](y, w, before)
            kept.append(y)
        return y + kept[rounds // 2]

    return draw(f, 0.7, 1.1, values=True, gradients=True, fold=20)


@needs_browser
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["sin", "weigh", "twice", "skip", "mix"]), min_size=2, max_size=4), st.integers(4, 9))
def test_in_every_copy_arrows_and_sums_are_those_of_the_graph(browser, tmp_path, program, rounds):
    graph = looped(program, rounds)
    page = graph.save(tmp_path / "loop.html")
    view = graph.view
    recorded = Counter((e.source, e.target) for e in view.edges)
    gradient = {e.id: dict(e.details).get("gradient") for e in view.edges}
    sent = {n.id: [gradient[e.id] for e in view.edges if e.source == n.id and gradient[e.id]] for n in view.nodes}
    boxes = {n.id for n in view.nodes}
    homes = {c.id: c.parent for c in view.clusters}
    repeats = {c.id for c in view.clusters if c.kind == "repeat"}
    inside = {n.id for n in view.nodes if n.cluster in homes and homes[n.cluster] in repeats}
    browser.open(page)
    forward = '#picture .button[aria-label="next copy"]'
    copies = browser.script("return document.querySelectorAll(arguments[0]).length", forward) and rounds
    for _ in range(max(copies, 1)):
        arrows, shown = browser.script(
            "return [[...document.querySelectorAll('#picture .edge')].map(e => [e.dataset.source, e.dataset.target]),"
            " [...document.querySelectorAll('#picture .node')].map(e => e.id)]"
        )
        drawn = Counter(map(tuple, arrows))
        ends = set(shown) & boxes
        for (source, target), count in drawn.items():
            if source in boxes and target in boxes:
                assert count <= recorded[source, target]
        for (source, target), count in recorded.items():
            if {source, target} <= ends:
                assert drawn[source, target] == count
        for box in ends & inside:
            into = sum(count for (_, target), count in drawn.items() if target == box)
            assert into == sum(count for (_, target), count in recorded.items() if target == box)
        browser.script("document.getElementById('step').click()")
        for _ in range(len(shown)):
            name, said = browser.script(
                "return [document.querySelector('#picture .node.now')?.id, document.getElementById('what').textContent]"
            )
            if name in boxes and " = " in said.partition("g = ")[2] + said.partition("gradient: ")[2]:
                terms = re.split(r"(?:g = |gradient: )", said)[1].split(" = ")[0]
                if "…" not in terms:
                    assert terms == " + ".join(sent[name])
                assert f"{len(sent[name])} terms" in terms or "…" not in terms
            browser.script("document.getElementById('next').click()")
        browser.script("document.getElementById('step').click()")
        browser.script(
            "document.querySelector(arguments[0])?.dispatchEvent(new MouseEvent('click', {bubbles: true}))", forward
        )


@pytest.mark.parametrize("name", ["<script>", "</script><b>", "<!--", "]]>", '"];', "\u2028&amp;"])
def test_json_in_a_script_element_cannot_end_it(name):
    text = safe_json(name)
    assert not set(text) & set("<>&")
    assert json.loads(text) == name
    page = to_html(GraphView((NodeView("n0", name, name=name, rows=(name,)),), (), (), name, name))
    assert page.count("</script") == 4
    assert json.loads(re.search(r'type="application/json">(.*?)</script>', page, re.S)[1])["nodes"]


def test_the_page_is_the_same_each_time_and_asks_for_nothing():
    def page():
        return draw(lambda x: np.sum(np.exp(x)), np.ones(3), gradients=True).html

    assert page() == page()
    assert "default-src 'none'" in page()
    assert re.findall(r"""(?:src|href)=["']?(?!x)[^"'> ]+""", page()) == []


def test_the_licence_of_the_layout_library_travels_with_it():
    page = draw(ad.tensor(1.0, requires_grad=True) * 2.0).html
    assert "Copyright (c) 2012-2014 Chris Pettitt" in page
    assert "THE SOFTWARE IS PROVIDED" in page


def test_every_box_arrow_and_frame_is_in_the_page():
    view = draw(Net(), np.ones((2, 3))).view
    data = json.loads(re.search(r'type="application/json">(.*?)</script>', to_html(view), re.S)[1])
    assert [row[0] for row in data["nodes"]] == [n.id for n in view.nodes]
    assert [row[0] for row in data["edges"]] == [e.id for e in view.edges]
    assert [row[0] for row in data["clusters"]] == [c.id for c in view.clusters]


def test_a_theme_is_one_of_three():
    view = GraphView(
        (NodeView("n0", "x", cluster="c0"), NodeView("n1", "exp")),
        (EdgeView("e0", "n0", "n1"),),
        (ClusterView("c0", "m"),),
    )
    for theme in ("auto", "light", "dark"):
        assert "<svg" in to_html(view, theme=theme)
    with pytest.raises(ArgumentError, match="theme"):
        to_html(view, theme="blue")


# --- formulas, live numbers, the quiz --------------------------------------------------------------------------------

UNARY = [np.sin, np.cos, np.tanh, np.exp, np.sqrt, np.log, np.square, F.sigmoid, F.relu, np.arctan, np.negative]
BINARY = [np.add, np.subtract, np.multiply, np.divide, np.maximum, np.hypot, np.power]


def program(seed):
    """A random program of a few numbers, or of short arrays, that ends in a sum."""
    generator = np.random.default_rng(seed)
    steps = [
        (generator.integers(2), generator.integers(11), generator.integers(7), *generator.integers(0, 9, 2))
        for _ in range(5)
    ]

    def f(a, b):
        pool = [a, b]
        for two, one_of, two_of, i, j in steps:
            x, y = pool[-1 - i % len(pool)], pool[-1 - j % len(pool)]
            pool.append(BINARY[two_of](x, y) if two else UNARY[one_of](x))
        return np.sum(pool[-1] * 1.5 + a)

    shape = [(), (3,), (1,)][seed % 3]
    return f, generator.uniform(0.5, 1.5, shape), generator.uniform(0.5, 1.5, shape)


def moved_to(browser, place, number):
    """Moves one slider, and says which leaf it is and where it came to stand."""
    code = """const dial = document.querySelectorAll('#dials input')[arguments[0]]; dial.value = arguments[1];
        dial.dispatchEvent(new Event('input')); return Number(dial.value)"""
    return browser.text("#dials label")[0] if place == 0 else None, browser.script(code, place, number)


def shown_rows(browser):
    return browser.script(
        """return Object.fromEntries([...document.querySelectorAll('#picture .node')].map(e =>
        [e.id, [...e.querySelectorAll('.row')].map(r => r.textContent)]))"""
    )


def rows_of(f, *arguments):
    """The numbers in the boxes of a drawing made anew, as text, by id."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        view = draw(f, *arguments, values=True, gradients=True, fold=False).view
    return {node.id: [row for row in node.rows if row[:2] in ("= ", "∂ ")] for node in view.nodes}


@needs_browser
@pytest.mark.parametrize("seed", range(9))
def test_live_numbers_are_those_of_the_program(browser, tmp_path, seed):
    """Wherever a slider stands, the boxes say, to the letter, what a drawing made there says."""
    f, a, b = program(seed)
    draw(f, a, b, values=True, gradients=True, fold=False).save(tmp_path / "live.html")
    browser.open(tmp_path / "live.html")
    browser.keys("l")
    assert browser.script("return document.getElementById('lively').hidden") is False, browser.text("#said")
    points = {"a": np.array(a), "b": np.array(b)}
    for number in (float(np.ravel(a)[0]) + 0.37, 0.0, -1.2):
        name, stands = moved_to(browser, 0, number)
        points[name].flat[0] = stands
        wanted, shown = rows_of(f, *points.values()), shown_rows(browser)
        assert shown.keys() == wanted.keys()
        for box, texts in shown.items():
            assert [text for text in texts if text[:2] in ("= ", "∂ ")] == wanted[box], (number, box)
    browser.keys("l")
    assert browser.script("return document.getElementById('lively').hidden")


STILL = {
    "repeat": (lambda a: np.sum(a * np.array([1.0, 2.0])), np.ones((2, 2))),
    "sum along an axis": (lambda a: np.sum(np.sum(a, axis=0) ** 2), np.ones((2, 3))),
    "is float32": (lambda a: np.sum(a * a), np.ones(2, np.float32)),
    "no formula to compute": (lambda a: np.sum(np.cumsum(a)), np.ones(2)),
    "begun elsewhere": (lambda a: [a, a * a], np.array(3.0)),
    "no finite values": (lambda a: np.sum(a * a), np.ones(20)),
    "out of the graph": (lambda a: a * a.detach(), np.array(2.0)),
    "no formula to compute where": (lambda a: np.sum(a, where=np.array([True, False])), np.ones(2)),
}


@needs_browser
@pytest.mark.parametrize("reason", STILL)
def test_numbers_that_the_page_would_get_wrong_stay_still(browser, tmp_path, reason):
    f, a = STILL[reason]
    draw(f, a, values=True, gradients=True, fold=False).save(tmp_path / "still.html")
    browser.open(tmp_path / "still.html")
    browser.keys("l")
    assert browser.script("return document.getElementById('lively').hidden")
    assert reason in browser.text("#said")


EDGES = [-np.inf, -800.0, -40.0, -1.0, -1e-200, -0.0, 0.0, 1e-200, 0.3, 1.0, 20.0, 800.0, 1e200, np.inf, np.nan]


@needs_browser
def test_the_pages_arithmetic_is_the_engines_over_the_whole_range(browser, pages):
    """Every value and slope that the page computes, at the edges of the domain, is what the operation gives."""
    browser.open(pages / "scalar.html")
    wrong = []
    for name in sorted(TEXTBOOK.keys() - {"sum", "mean"}):
        op = registry[name]
        value, slopes = formula_of(name)["arithmetic"]
        points = list(itertools.product(EDGES, repeat=len(op.inputs)))
        columns = [np.array(column) for column in zip(*points, strict=True)]
        leaves = [ad.tensor(column, requires_grad=True) for column in columns]
        with np.errstate(all="ignore"):
            out = op.function(*leaves)
            out.backward(np.ones(len(points)))
        texts = {key: [repr(float(v)) for v in column] for key, column in zip(op.inputs, columns, strict=True)}
        code = """const [trees, texts, count] = arguments[0];
            const number = (t) => ({inf: Infinity, "-inf": -Infinity})[t] ?? Number(t);
            const said = (v) => isNaN(v) ? "nan" : v === Infinity ? "inf" : v === -Infinity ? "-inf" : String(v);
            return Array.from({length: count}, (_, i) => {
              const names = {n: [1]}; for (const k in texts) names[k] = [number(texts[k][i])];
              names.out = Formula.compute(trees[0], names);
              const slopes = trees[1].map((t) => Formula.chain([1], Formula.compute(t, names)));
              return [names.out, ...slopes].map((v) => said(v[0]));
            })"""
        found = browser.script(code, [[value, slopes], texts, len(points)])
        wanted = [out.data, *(leaf.grad.data for leaf in leaves)]
        for place, expected in enumerate(wanted):
            mine = np.array([float(row[place]) for row in found])
            with np.errstate(all="ignore"):
                near = (mine == expected) | (np.abs(mine - expected) <= 1e-12 * np.abs(expected) + 1e-300)
            # Beside an infinite or missing operand the page may say that it does not know.
            near |= np.isnan(mine) & (np.isnan(expected) | ~np.isfinite(columns).all(axis=0))
            wrong += [(name, place, *points[k], mine[k], expected[k]) for k in np.flatnonzero(~near)]
    assert not wrong, "\n".join(map(str, wrong))


@needs_browser
def test_a_program_that_the_page_cannot_compute_says_why(browser, pages):
    browser.open(pages / "net.html")
    browser.keys("l")
    assert browser.text("#said").startswith("No live numbers: ")
    assert browser.script("return document.getElementById('lively').hidden")


@needs_browser
def test_a_box_says_its_formula_and_a_leaf_the_chain_rule(browser, pages):
    browser.open(pages / "scalar.html")
    browser.click(browser.node("sin"))
    formulas = browser.script("return [...document.querySelectorAll('aside math')].map(m => m.textContent)")
    assert formulas == ["out=sin(x)", "∂out∂x=cos(x)"]
    browser.click(browser.node("y"))
    chain = browser.script("return [...document.querySelectorAll('aside math')].map(m => m.textContent)")
    assert chain[0] == "∂+∂y=∂+∂×·∂×∂sin·∂sin∂y"
    assert chain[-1] == f"∂sin∂y=cos(x)={np.cos(3.0):.5g}"
    assert "the only way to the result" in browser.text("aside")


@needs_browser
def test_steps_forward_say_what_is_computed_from_what(browser, pages):
    browser.open(pages / "scalar.html")
    browser.click("#ahead")
    told = []
    for _ in range(5):
        told.append(browser.text("#what") + " | " + browser.text("#sends"))
        browser.keys("n")
    assert any(line.startswith("x is given: 2") for line in told)
    product = next(line for line in told if line.startswith("× computes"))
    assert f"computes {2 * np.sin(3.0):.5g}" in product
    assert "out=x·y" in product


@needs_browser
def test_the_quiz_hides_each_gradient_until_it_is_guessed(browser, pages):
    browser.open(pages / "scalar.html")
    browser.keys("q")
    browser.keys("n")
    assert browser.text("#what").startswith("Which gradient does × receive?")
    assert "1" not in browser.text("#verdict")
    browser.script("document.getElementById('guess').value = '1'; document.querySelector('#ask button').click()")
    assert browser.text("#said") == "Right. 1 of 1 right."
    browser.keys("n")
    browser.script("document.getElementById('guess').value = '12'; document.querySelector('#ask button').click()")
    assert browser.text("#said").startswith("Not quite: it is ")
    assert browser.text("#said").endswith("1 of 2 right.")


QUIZ = [
    (0.5, ["1/2", ".5", " 50/100 "], ["-1/2", "−0.5", "0.6"]),
    (-1.0, ["−1", "-1", "- 1"], ["1", "+1"]),
    (1e-12, ["1e-12", "0.995E-12"], ["-1e-12", "−1e-12", "0", "2e-12"]),
    (0.0, ["0", "-0", "0/5"], ["1e-300", "-1"]),
    (np.inf, ["inf", "Infinity", "+∞"], ["-inf", "nan", "1e308"]),
    (-np.inf, ["-inf", "−∞"], ["inf", "0"]),
    (np.nan, ["nan", "NaN"], ["0", "inf"]),
]


@needs_browser
@pytest.mark.parametrize(("slope", "right", "wrong"), QUIZ)
def test_a_guess_is_right_to_one_part_in_a_hundred_and_its_sign_counts(browser, tmp_path, slope, right, wrong):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        draw(lambda x: x * np.array(slope), 2.0, values=True, gradients=True).save(tmp_path / "page.html")
    browser.open(tmp_path / "page.html")
    answer = "document.getElementById('guess').value = arguments[0]; document.querySelector('#ask button').click()"
    for guess in [*right, *wrong]:
        browser.keys("qn")
        assert browser.text("#what").startswith("Which gradient does x receive?")
        browser.script(answer, "1,5")
        assert browser.text("#verdict").startswith("a number, please")
        browser.script(answer, guess)
        assert browser.text("#said").startswith("Right" if guess in right else "Not quite"), guess
        browser.keys("q")
        browser.click("#step")


@needs_browser
def test_a_quiz_tells_no_answer_beforehand_and_halts_the_play(browser, pages):
    browser.open(pages / "scalar.html")
    browser.script("document.getElementById('speed').value = 500")
    browser.keys("q")
    browser.click("#play")
    time.sleep(1.8)
    assert browser.text("#count") == "step 2 of 5"
    assert browser.script("return document.activeElement.id") == "guess"
    shown = "return [...document.querySelectorAll('.badge text, #sends code')].map(e => e.textContent)"
    assert not any("∂" in text or "=" in text for text in browser.script(shown))
    browser.keys(ESCAPE)
    assert browser.script("return document.getElementById('steps').hidden")


@needs_browser
def test_what_has_the_focus_keeps_it_when_the_picture_changes(browser, tmp_path):
    def loop(x):
        for _ in range(30):
            x = np.tanh(x * 1.5)
        return x

    draw(loop, 0.9, values=True).save(tmp_path / "page.html")
    browser.open(tmp_path / "page.html")
    focused = "return document.activeElement.getAttribute('aria-label')"
    browser.script("""document.querySelector('.button[aria-label="next copy"]').focus()""")
    for _ in range(3):
        browser.keys(ENTER)
        assert browser.script(focused) == "next copy"
    assert "4 of 30" in browser.text("#picture")
    browser.script("""document.querySelector('.button[aria-label="show all copies"]').focus()""")
    browser.keys(ENTER)
    assert browser.script(focused) == "show one copy"
    browser.keys("/tanh")
    assert browser.script("return document.getElementById('find').ariaExpanded") == "true"
    browser.keys(ENTER)
    assert browser.script("return document.getElementById('find').ariaExpanded") == "false"
    browser.script("document.querySelector('.close').focus()")
    browser.keys(ENTER)
    assert browser.script(focused).startswith("tanh, operation")


@needs_browser
def test_a_button_turns_to_the_backward_pass_and_back(browser, pages):
    browser.open(pages / "net.html")
    before = browser.titles()
    browser.click("#backward")
    assert all(
        title.startswith("∂") or "×" in title or "norm" in title for title in browser.titles() if "weight" in title
    )
    assert any(title.startswith("∂ ") for title in browser.titles())
    assert browser.script("return document.getElementById('backward').getAttribute('aria-pressed')") == "true"
    browser.keys("n")
    assert browser.text("#count").startswith("step 1 of ")
    browser.click("#operations")
    assert browser.titles() == before
    browser.keys("b")
    assert browser.text("#count").startswith("step 1 of ")


@needs_browser
@pytest.mark.parametrize("keys", ["b", "a", "q"])
def test_each_frame_of_the_animated_svg_says_what_the_step_says(browser, pages, tmp_path, keys):
    browser.open(pages / "scalar.html")
    code = """const made = [], old = URL.createObjectURL;
        URL.createObjectURL = (b) => { made.push(b); return 'about:blank#'; };
        HTMLAnchorElement.prototype.click = () => {};
        document.getElementById('save').click();
        URL.createObjectURL = old;
        const done = arguments[0]; made[0].text().then(done)"""
    browser.keys(keys)
    drawn = browser.send("POST", "/execute/async", {"script": code, "args": []})
    if keys == "q":
        browser.keys("q")
    badges = "[...{}.querySelectorAll('.badge text')].map(e => e.textContent)"
    steps = []
    for _ in range(5):
        steps.append([browser.text("#what"), browser.script("return " + badges.format("document"))])
        browser.keys("n")
    (tmp_path / "steps.svg").write_text(drawn)
    browser.send("POST", "/url", {"url": (tmp_path / "steps.svg").as_uri()})
    browser.script("document.documentElement.pauseAnimations()")
    for i, (words, beside) in enumerate(steps):
        browser.script("document.documentElement.setCurrentTime(arguments[0])", 1.4 * (i + 0.5))
        browser.settle()
        (frame,) = browser.script(
            "return [...document.documentElement.children].filter(e => e.localName === 'g' && getComputedStyle(e)"
            ".visibility === 'visible').map(e => [[...e.querySelectorAll(':scope > .caption')].map(t => t.textContent)"
            f".join(' '), {badges.format('e')}, [...e.querySelectorAll('.node:not(.done):not(.now) .grad')]"
            ".filter(t => getComputedStyle(t).visibility === 'visible').length])"
        )
        assert frame[0].startswith(words)
        assert frame[1:] == [beside, 0]


@needs_browser
@pytest.mark.parametrize(("direction", "key"), [("TB", "\ue015"), ("BT", "\ue013"), ("LR", "\ue014"), ("RL", "\ue012")])
def test_an_arrow_key_goes_where_the_arrow_goes(browser, tmp_path, direction, key):
    draw(lambda x: np.exp(np.sin(x)), 2.0, rankdir=direction).save(tmp_path / "page.html")
    browser.open(tmp_path / "page.html")
    browser.script("document.getElementById('n0').focus()")
    browser.keys(key)
    assert browser.script("return document.activeElement.querySelector('.title').textContent") == "sin"


# --- a training over time, and the notebook --------------------------------------------------------------------------


def trained():
    net = nn.Sequential(nn.Linear(3, 4, dtype=np.float64), nn.ReLU(), nn.Linear(4, 2, dtype=np.float64))
    states = []
    for factor in (1.0, 2.0, -1.0):
        states.append({name: factor * array for name, array in net.state_dict().items()})
    return net, states


def test_a_history_shows_each_state_and_leaves_the_module_alone():
    net, states = trained()
    before = {name: np.array(array) for name, array in net.state_dict().items()}
    graph = draw(net, np.ones((2, 3)), history=states)
    assert all(np.array_equal(before[name], array) for name, array in net.state_dict().items())
    page = json.loads(re.search(r'type="application/json">(.*?)</script>', graph.html, re.S)[1])
    for state, moment in zip(states, page["moments"], strict=True):
        shown = {node.label: now for node, now in zip(graph.view.nodes, moment, strict=True)}
        bias = shown["2.bias"]
        assert np.allclose(bias[4], state["2.bias"])
        assert any(page["strings"][key] == "gradient" for key, _ in bias[1])
    assert page["moments"][0] != page["moments"][1]


def test_a_history_that_does_not_fit_is_refused_and_changes_nothing():
    net, states = trained()
    before = {name: np.array(array) for name, array in net.state_dict().items()}
    for history in ([], [states[0], {"0.weight": np.ones(2)}]):
        with pytest.raises(AutodiffError, match=r"history= is empty|load_state_dict"):
            draw(net, np.ones((2, 3)), history=history)
        assert all(np.array_equal(before[name], array) for name, array in net.state_dict().items())
    with pytest.raises(ArgumentError, match="needs a module"):
        draw(lambda x: x * 2, np.ones(2), history=states)


@needs_browser
def test_a_slider_runs_over_the_states(browser, tmp_path):
    net, states = trained()
    draw(net, np.ones((2, 3)), history=states).save(tmp_path / "history.html")
    browser.open(tmp_path / "history.html")
    assert browser.text("#when") == "1 of 3"
    first = browser.text(browser.node("2.bias"))
    browser.script("const m = document.getElementById('moment'); m.value = 2; m.dispatchEvent(new Event('input'));")
    assert browser.text("#when") == "3 of 3"
    assert browser.text(browser.node("2.bias")) != first


@needs_browser
def test_the_widget_tells_what_is_chosen_and_chooses_what_it_is_told(browser, tmp_path):
    graph = draw(lambda x, y: x * np.sin(y), 2.0, 3.0, values=True)
    code = asset("widget.js").replace("export default", "const widget =")
    (tmp_path / "cell.html").write_text(
        f"""<body><div id="cell"></div><script>{code}
        const held = {{ html: {safe_json(graph.html)}, selected: "n1" }}; let changed;
        const model = {{ get: (k) => held[k], set: (k, v) => {{ held[k] = v; }}, save_changes() {{}},
          on: (_, f) => {{ changed = f; }}, off() {{}} }};
        widget.render({{ model, el: document.getElementById("cell") }});
        document.querySelector("iframe").addEventListener("load", () => {{ document.body.dataset.ready = "yes"; }});
        </script></body>"""
    )
    browser.open(tmp_path / "cell.html")
    inside = "document.querySelector('iframe').contentDocument"
    for _ in range(50):
        if browser.script(f"return {inside}.body.dataset.ready") == "yes":
            break
        time.sleep(0.1)
    browser.settle()
    assert browser.script(f"return {inside}.querySelector('.node.selected').id") == "n1"
    sine = next(node.id for node in graph.view.nodes if node.label == "sin")
    browser.script(f"{inside}.getElementById('{sine}').dispatchEvent(new MouseEvent('click'))")
    browser.settle()
    assert browser.script("return held.selected") == sine
    browser.script("held.selected = 'n0'; changed();")
    browser.settle()
    assert browser.script(f"return {inside}.querySelector('.node.selected').id") == "n0"


def test_the_widget_is_an_anywidget():
    pytest.importorskip("anywidget")
    graph = draw(lambda x: x * 2.0, 1.0)
    widget = graph.widget()
    assert widget.html == graph.html
    assert widget.selected == ""


# --- where arrows run ------------------------------------------------------------------------------------------------

CROSSED = r"""
const shrink = (r, x, y) => [r.x + x, r.y + y, r.x + r.width - x, r.y + r.height - y];
const all = (selector) => [...document.querySelectorAll(selector)];
const places = all('#picture .node').map(e => [e.id, shrink(e.querySelector('.body').getBBox(), 2, 2)]);
for (const e of all('#picture .cluster text')) places.push([e.textContent, shrink(e.getBBox(), 0, 2)]);
for (const e of all('#picture .controls .button'))
  places.push([e.getAttribute('aria-label'), shrink(e.querySelector('rect').getBBox(), 1, 1)]);
// Points along a path of straight lines and cubic curves, none further apart than two points.
const along = (d) => {
  const points = [];
  let last;
  for (const [, kind, rest] of d.matchAll(/([MLC])([^MLC]*)/g)) {
    const n = rest.match(/-?[\d.]+(?:e-?\d+)?/g).map(Number), pairs = [];
    for (let i = 0; i < n.length; i += 2) pairs.push([n[i], n[i + 1]]);
    if (kind === 'M') { last = pairs[0]; continue; }
    const [a, b, c] = kind === 'C' ? pairs : [last, pairs[0], pairs[0]];
    const steps = Math.ceil((Math.abs(c[0] - last[0]) + Math.abs(c[1] - last[1])) / 2) + 1;
    for (let i = 0; i <= steps; i++) {
      const t = i / steps, u = 1 - t;
      points.push([0, 1].map(k => u ** 3 * last[k] + 3 * u * u * t * a[k] + 3 * u * t * t * b[k] + t ** 3 * c[k]));
    }
    last = c;
  }
  return points;
};
const found = [];
for (const e of document.querySelectorAll('#picture .edge')) {
  const ends = [e.dataset.source, e.dataset.target], others = places.filter(([name]) => !ends.includes(name));
  for (const [x, y] of along(e.querySelector('path').getAttribute('d')))
    for (const [name, [left, top, right, bottom]] of others)
      if (x > left && x < right && y > top && y < bottom) found.push([e.id, name]);
}
return found;
"""


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm, self.second = (
            nn.Conv2d(3, 3, 3, padding=1),
            nn.BatchNorm2d(3),
            nn.Conv2d(3, 3, 3, padding=1),
        )

    def forward(self, x):
        return F.relu(x + self.second(F.relu(self.norm(self.first(x)))))


def looping(x, w):
    kept = []
    for _ in range(9):
        x = np.tanh(x * w) + x
        kept.append(x)
    return x + kept[4]


def shown_programs():
    mlp = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    lstm, bidirectional = nn.LSTM(3, 4, num_layers=2), nn.LSTM(3, 4, num_layers=2, bidirectional=True)
    normed = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.GELU(), nn.Linear(4, 2))
    both = {"values": True, "gradients": True}
    twice = nn.Linear(3, 3)
    return {
        "mlp": (mlp, np.ones((2, 3)), {}),
        "cnn": (nn.Sequential(Residual(), Residual()), np.ones((2, 3, 8, 8)), both),
        "encoder": (nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0), np.ones((2, 4, 8)), {}),
        "encoder with values": (nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0), np.ones((2, 4, 8)), both),
        "blocks": (Net(), np.ones((2, 3)), both),
        "compared": (normed, np.ones((3, 3)), {"compare": True}),
        "lstm compared": (
            lambda x: np.sum(lstm(x)[0] ** 2),
            np.ones((3, 2, 3)),
            {"compare": True, "names": {"m": lstm}},
        ),
        "bidirectional": (
            lambda x: np.sum(bidirectional(x)[1][0]),
            np.ones((3, 2, 3)),
            {"names": {"m": bidirectional}},
        ),
        "a module read twice": (lambda x: twice(np.tanh(twice(x))), np.ones((2, 3)), {"names": {"m": twice}, **both}),
        "loop from left to right": (looping, 0.5, 1.5, {"rankdir": "LR"}),
        "loop from below": (looping, 0.5, 1.5, {"rankdir": "BT"}),
        "loop both ways": (looping, 0.5, 1.5, {"direction": "both", **both}),
        "loop backward": (looping, 0.5, 1.5, {"direction": "backward", **both}),
    }


@needs_browser
@pytest.mark.parametrize("name", shown_programs())
def test_no_arrow_runs_through_a_heading_a_button_or_a_box_of_others(browser, tmp_path, name):
    *given, options = shown_programs()[name]
    draw(*given, **options).save(tmp_path / "page.html")
    browser.open(tmp_path / "page.html")
    assert browser.script(CROSSED) == []
    for button in ("next copy", "show all copies"):
        browser.script(
            "for (const e of document.querySelectorAll(arguments[0])) e.dispatchEvent(new MouseEvent('click',"
            " {bubbles: true}))",
            f'#picture .button[aria-label="{button}"]',
        )
        assert browser.script(CROSSED) == []


@needs_browser
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(graphs(), st.sampled_from(DIRECTIONS))
def test_no_arrow_of_any_program_does(browser, tmp_path, graph, direction):
    graph.rankdir = direction
    browser.open(graph.save(tmp_path / "page.html"))
    assert browser.script(CROSSED) == []
    browser.keys("e")
    assert browser.script(CROSSED) == []


@needs_browser
def test_a_fused_box_says_its_derivation_term_by_term(browser, tmp_path):
    layer = nn.LayerNorm(3)
    draw(layer, np.ones((2, 3)), values=True, gradients=True).save(tmp_path / "page.html")
    browser.open(tmp_path / "page.html")
    browser.click(browser.node("layer_norm"))
    headings = browser.script("return [...document.querySelectorAll('aside h3')].map(e => e.textContent)")
    assert headings[:2] == ["Value", "Gradient, derived by hand"]
    lines = browser.script("return [...document.querySelectorAll('aside .formula')].map(e => e.textContent)")
    assert "x̂=v·s N×I" in lines
    assert "dx2=−s·meani(dx̂) N: through the mean" in lines
    browser.keys("b")
    assert "dw=∑ng·x̂" in browser.text("#sends")


@needs_browser
def test_the_page_reads_every_formula_as_it_was_typeset(browser, pages):
    browser.open(pages / "scalar.html")
    formulas = [typeset(tree(text)) for value, slopes in TEXTBOOK.values() for text in (value, *slopes)]
    formulas += [row.equation() for name in DERIVATIONS for row in derivation_of(name).rows]
    drawn = browser.script(
        "const write = t => new XMLSerializer().serializeToString(Formula.read(t));"
        'return arguments[0].map(t => write(t).replace(/ xmlns="[^"]*"/g, \'\'))',
        formulas,
    )
    assert drawn == formulas
