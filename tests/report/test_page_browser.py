"""The page of `replay report` in a real browser: it is opened from disk, used and looked at."""

import json
import re
from importlib.resources import files
from pathlib import Path

import pytest

from replay.report.format import percent
from tests.cli.test_cli import run
from tests.report.page_browser import Opened, browser, skip_reason
from tests.report.test_page import HOSTILE, data_of, hostile_logs

__all__ = ["hostile_logs"]

SAMPLES = Path(__file__).parents[2] / "sample_logs"

expect = pytest.importorskip("playwright.sync_api").expect

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(skip_reason() is not None, reason=str(skip_reason())),
]


@pytest.fixture(scope="module")
def chromium():
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    target = tmp_path_factory.mktemp("page") / "report.html"
    run("report", SAMPLES, "--out", target)
    return target


@pytest.fixture(scope="module")
def data(path):
    return data_of(path)


@pytest.fixture
def opened(chromium, path):
    """The page on the sample logs; it must neither complain nor request anything."""
    page = Opened(chromium, path, permissions=["clipboard-read", "clipboard-write"])
    yield page
    assert page.messages == []
    assert [url for url in page.requests if not url.startswith(("file:", "data:", "blob:"))] == []
    page.close()


def prose(text):
    return re.sub(r"(\d)%", "\\1\u202f%", text)


def test_it_begins_with_the_answer(opened, data):
    headline = data["answer"]["headline"]
    expected = prose(f"{headline['before']}{headline['policy']}{headline['after']}")
    assert opened.page.inner_text("h1") == expected
    lead = opened.page.inner_text("#answer .lead")
    for sentence in data["answer"]["sentences"]:
        assert prose(sentence) in lead
    held = data["answer"]["held_out"]
    assert opened.page.inner_text(".tile:first-child .figure strong") == prose(percent(held["saved_mean"]))
    assert opened.page.inner_text(".badge") == "guaranteed"


def test_the_code_can_be_copied(opened, data):
    for number, entry in enumerate(data["answer"]["code"]):
        opened.page.click(f".tabs button:nth-child({number + 1})")
        opened.page.click("#answer .copy")
        expect(opened.page.locator("#answer .copy [role=status]")).to_have_text("Copied the code")
        assert opened.page.evaluate("navigator.clipboard.readText()").strip() == entry["text"].strip()


def table(opened):
    return opened.page.eval_on_selector_all(
        "table.policies tbody tr", "rows => rows.map(row => [...row.cells].map(cell => cell.innerText))"
    )


def figures(rows, column):
    cells = [re.search(r"-?[\d.]+", row[column].replace("<", "")) for row in rows]
    return [float(cell.group()) for cell in cells if cell]


def test_the_table_sorts_in_both_directions(opened, data):
    opened.page.click("text=Show all")
    policies = [row for row in data["policies"] if row["role"] != "tool"]
    assert len(table(opened)) == len(policies)
    heading = opened.page.locator("table.policies thead th").nth(1)
    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") == "descending"
    falling = figures(table(opened), 1)
    assert falling == sorted(falling, reverse=True)
    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    assert figures(table(opened), 1) == falling[::-1]
    opened.page.locator("table.policies thead th").nth(0).locator("button").click()
    names = [row[0].split("\n")[0] for row in table(opened)]
    assert len(set(names)) == len(names)


def selected(opened):
    return opened.page.inner_text(".panel h3").replace("\n", "")


def test_a_click_on_a_row_selects_the_policy_everywhere(opened, data):
    wanted = next(row for row in data["policies"] if row["spec"] == "patience=2,smooth=mean:3")
    opened.page.click("table.policies tbody tr:has-text('patience=2,smooth=mean:3') button")
    assert selected(opened) == wanted["spec"]
    assert wanted["spec"] in opened.page.inner_text("#runs-title").replace("\n", "")
    assert wanted["spec"] in opened.page.inner_text("#run .intro")
    panel = opened.page.inner_text(".panel dl")
    assert prose(percent(wanted["saved"])) in panel
    assert prose(percent(wanted["lost"])) in panel
    assert opened.page.inner_text("h1").startswith("Stop with patience=4")  # the answer stays


def mark_at(opened, data, spec):
    """The place of a policy in the scatter plot, in the window, by the ticks of the plot's own axes."""
    row = next(row for row in data["policies"] if row["spec"] == spec)
    box = opened.page.locator(".scatter .plot-area").bounding_box()
    places = opened.page.evaluate(
        """() => {
        const numbers = (text) => text.getAttribute('transform').match(/-?[\\d.]+/g).map(Number);
        const labels = (name) => `.scatter g[aria-label="${name} tick label"] text`;
        const find = (name) => [...document.querySelectorAll(labels(name))];
        const read = (name) => find(name).map((text) => [parseFloat(text.textContent), numbers(text)]);
        return { x: read('x-axis'), y: read('y-axis') };
    }"""
    )
    x = {value: place[0] for value, place in places["x"]}
    y = {value: place[1] for value, place in places["y"]}
    (low, high), (bottom, top) = (min(x), max(x)), (min(y), max(y))
    left = x[low] + (100 * row["saved"] - low) / (high - low) * (x[high] - x[low])
    share = ((100 * row["lost"]) ** 0.5 - bottom**0.5) / (top**0.5 - bottom**0.5)
    return box["x"] + left, box["y"] + y[bottom] + share * (y[top] - y[bottom])


def test_the_scatter_plot_shows_and_selects_what_is_under_the_pointer(opened, data):
    opened.page.locator(".scatter").scroll_into_view_if_needed()
    front = [row for row in data["policies"] if row["front"] and row["role"] == "candidate"]
    wanted = max(front, key=lambda row: row["saved"])
    opened.page.mouse.move(*mark_at(opened, data, wanted["spec"]))
    tip = opened.page.locator(".tip")
    assert tip.is_visible()
    assert wanted["spec"] in tip.inner_text().replace("\n", "")
    assert prose(percent(wanted["saved"])) in tip.inner_text()
    opened.page.mouse.click(*mark_at(opened, data, wanted["spec"]))
    assert selected(opened) == wanted["spec"]


def test_arrow_keys_walk_along_the_front(opened, data):
    front = sorted(
        (row for row in data["policies"] if row["front"] and row["role"] != "tool"),
        key=lambda row: row["saved"],
    )
    opened.page.focus(".scatter")
    opened.page.keyboard.press("Home")
    assert selected(opened) == front[0]["name"]
    opened.page.keyboard.press("ArrowRight")
    assert selected(opened) == front[1]["name"]
    opened.page.keyboard.press("End")
    assert selected(opened) == front[-1]["name"]
    assert opened.page.get_attribute(".scatter", "aria-valuetext").startswith(front[-1]["name"])
    assert opened.page.get_attribute(".scatter", "aria-valuenow") == str(len(front) - 1)


def test_the_slider_moves_to_the_policy_that_saves_most_in_sample(opened, data):
    rows = [row for row in data["policies"] if row["role"] == "candidate"]
    opened.page.focus("#tolerance")
    opened.page.keyboard.press("End")
    assert selected(opened) == max(rows, key=lambda row: row["saved"])["spec"]
    opened.page.keyboard.press("Home")
    lossless = [row for row in rows if row["lost"] is not None and row["lost"] <= 1e-9]
    best = max(lossless, key=lambda row: row["saved"])
    assert selected(opened) == best["spec"]
    said = opened.page.inner_text(".slider-note")
    assert "In-sample" in said
    assert "optimistic" in said
    assert "Nothing can be guaranteed at this tolerance" in said
    assert opened.page.inner_text("h1").startswith("Stop with patience=4")
    opened.page.click("text=Reset")
    assert selected(opened) == data["answer"]["policy"]
    assert "In-sample," not in opened.page.inner_text(".slider-note")


def test_runs_are_filtered_and_searched(opened, data):
    cells = opened.page.locator("#runs [role=option]")
    total = len(data["runs"])
    assert cells.count() == total
    recommended = next(row for row in data["policies"] if row["spec"] == data["answer"]["policy"])
    losses = recommended["outcomes"]["loss"]
    opened.page.select_option("#filter-outcome", "over")
    assert cells.count() == sum(loss is not None and loss > 0.05 for loss in losses)
    opened.page.select_option("#filter-outcome", "never")
    assert cells.count() == sum(stop == -1 for stop in recommended["outcomes"]["stop"])
    opened.page.select_option("#filter-outcome", "all")
    group = data["runs"][0]["group"]
    opened.page.get_by_label("Group", exact=True).select_option(group)
    assert cells.count() == sum(one["group"] == group for one in data["runs"])
    opened.page.fill("#search", "r16 cosine")
    names = [one["id"] for one in data["runs"] if one["group"] == group]
    assert cells.count() == sum("r16" in name and "cosine" in name for name in names)
    opened.page.fill("#search", "no such run")
    assert cells.count() == 0
    assert "No run fits these filters." in opened.page.inner_text("#runs")
    assert f"0 of {total} runs" in opened.page.inner_text("#runs .count")


def test_a_run_opens_with_its_trace(opened, data):
    cell = opened.page.locator("#runs [role=option]").nth(3)
    at = int(cell.get_attribute("data-index"))
    cell.click()
    assert opened.page.inner_text("#run-title") == data["runs"][at]["id"]
    assert cell.get_attribute("aria-selected") == "true"
    rows = json.loads(
        run(
            "explain",
            SAMPLES,
            "--policy",
            data["answer"]["policy"],
            "--run",
            data["runs"][at]["id"],
            "--format",
            "json",
        ).stdout
    )["evals"]
    shown = opened.page.eval_on_selector_all(
        ".trace tbody tr", "rows => rows.map(row => [...row.cells].map(cell => cell.innerText))"
    )
    assert len(shown) == len(rows)
    for cells, row in zip(shown, rows, strict=True):
        assert cells[0] == str(row["eval"])
        assert cells[1] == str(row["step"])
        assert float(cells[2]) == pytest.approx(row["value"], rel=1e-4)
        if row["decision"] != "after the stop":
            assert row["reason"].replace("%", "") in cells[-1].replace("\u202f%", "")
    assert [cells[-1].startswith("stop: ") for cells in shown].index(True) == [
        row["decision"] for row in rows
    ].index("stop")
    opened.page.click("[aria-label='Next run']")
    assert opened.page.inner_text("#run-title") == data["runs"][(at + 1) % len(data["runs"])]["id"]


def test_cells_of_the_heat_map_select_policies(opened, data):
    grid = data["grids"][0]
    holder = opened.page.locator(".map").first
    holder.scroll_into_view_if_needed()
    before = selected(opened)
    holder.focus()
    opened.page.keyboard.press("ArrowRight")
    first = selected(opened)
    assert first != before
    assert first in [data["policies"][index]["name"] for index in grid["policies"]]
    opened.page.keyboard.press("ArrowUp")
    assert selected(opened) != first
    box = holder.locator("svg").bounding_box()
    opened.page.mouse.click(box["x"] + box["width"] - 20, box["y"] + 35)
    assert "patience=20" in selected(opened)


def test_the_setting_of_several_tools(opened, data):
    rows = opened.page.locator("table.tools tbody tr")
    assert rows.count() == 6
    shown = max(data["frameworks"], key=lambda one: one["differ"])
    assert f"on {shown['differ']} of" in opened.page.inner_text("#frameworks .intro")
    rows.nth(1).locator("button").click()
    assert selected(opened) == data["policies"][shown["tools"][1]["policy"]]["name"]


def test_everything_can_be_reached_by_keyboard(opened):
    reached, sections = set(), []
    for _ in range(160):
        opened.page.keyboard.press("Tab")
        what = opened.page.evaluate(
            """() => { const e = document.activeElement;
            const name = e.id || e.className || e.getAttribute('aria-label') || '';
            return [e.tagName, name, e.closest('section')?.id ?? '',
                    e.getAttribute('role') ?? '', getComputedStyle(e).outlineStyle]; }"""
        )
        if what[0] == "BODY":
            break
        assert what[4] != "none", what
        reached.add((what[0], what[1]))
        if what[2] and what[2] not in sections:
            sections.append(what[2])
        if what[3] == "option":
            reached.add("option")
    assert sections == ["answer", "compare", "policies", "runs", "run", "grid", "frameworks", "read"]
    assert {("INPUT", "tolerance"), ("INPUT", "search"), "option", ("BUTTON", "download")} <= reached
    opened.page.focus("#runs [role=option][tabindex='0']")
    before = opened.page.evaluate("document.activeElement.dataset.index")
    opened.page.keyboard.press("ArrowRight")
    after = opened.page.evaluate("document.activeElement.dataset.index")
    assert after != before
    opened.page.keyboard.press("Enter")
    assert opened.page.input_value("#open-run") == after


def test_the_data_can_be_downloaded(opened, data):
    with opened.page.expect_download() as download:
        opened.page.click("#download")
    assert json.loads(Path(download.value.path()).read_text()) == data
    with opened.page.expect_download() as download:
        opened.page.click("text=Download the policies")
    lines = Path(download.value.path()).read_text().splitlines()
    assert len(lines) == len(data["policies"]) + 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_axe_finds_nothing_serious(chromium, path, width, scheme):
    opened = Opened(chromium, path, width=width, scheme=scheme)
    opened.draw_all()
    # through the debugger, so that the policy of the page stays in force
    opened.page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8"))
    result = opened.page.evaluate("axe.run(document)")
    found = [
        (one["id"], one["impact"], node["html"][:200])
        for one in result["violations"]
        if one["impact"] in ("serious", "critical", "moderate")
        for node in one["nodes"]
    ]
    assert found == []
    assert len(result["passes"]) > 20
    opened.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 768, 1280, 3840])
def test_no_width_scrolls_sideways(chromium, path, tmp_path, width, scheme):
    opened = Opened(chromium, path, width=width, scheme=scheme)
    opened.draw_all()
    assert opened.page.evaluate("document.documentElement.scrollWidth") == width
    shot = tmp_path / f"{width}-{scheme}.png"
    opened.page.screenshot(path=shot)
    assert shot.stat().st_size > 10_000
    background = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
    channels = [int(number) for number in re.findall(r"\d+", background)[:3]]
    assert (sum(channels) / 3 < 60) == (scheme == "dark")
    assert opened.messages == []
    opened.close()


def test_text_has_contrast_in_charts_too():
    """axe does not look into SVG: the colours of text on both grounds, by the formula of WCAG 2."""
    style = (SAMPLES.parent / "page" / "src" / "page.css").read_text(encoding="utf-8")
    blocks = re.findall(r"--paper: #.*?(?=--sans|\})", style, re.DOTALL)
    assert len(blocks) >= 3

    def luminance(color):
        parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for block in blocks:
        colors = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})\b", block))
        if len(colors) < 10:
            continue  # the short colours of print
        for ground in ("paper", "card"):
            for name in ("ink", "muted", "blue-ink", "over-ink"):
                light, dark = sorted((luminance(colors[name]), luminance(colors[ground])), reverse=True)
                assert (light + 0.05) / (dark + 0.05) >= 4.5, (name, ground)


def test_names_of_logs_stay_text(chromium, hostile_logs, tmp_path):
    target = tmp_path / "report.html"
    run("report", hostile_logs, "--out", target)
    opened = Opened(chromium, target)
    opened.draw_all()
    for index in range(len(HOSTILE)):
        opened.page.select_option("#open-run", str(index))
    opened.page.wait_for_timeout(300)
    assert opened.page.evaluate("window.hit") is None
    assert (
        opened.page.evaluate("document.querySelectorAll('#page script, #page img, #page svg[onload]').length")
        == 0
    )
    text = opened.page.inner_text("#page")
    assert "<img src=x onerror=window.hit=1>" in text
    assert "evil" in text
    assert not set("\u202e\u2028\u200b") & set(text)
    assert opened.messages == []
    assert [url for url in opened.requests if not url.startswith(("file:", "data:"))] == []
    opened.close()


def test_the_policy_blocks_scripts_and_requests(chromium, path):
    opened = Opened(chromium, path)
    # from a timeout, since the policy does not hold for what the debugger evaluates
    outcome = opened.page.evaluate(
        """new Promise((resolve) => setTimeout(async () => {
        const script = document.createElement('script');
        const out = { refused: false, blocked: false };
        try { script.text = 'window.hit = 1'; document.body.append(script); } catch { out.refused = true; }
        try { await fetch('https://example.org/'); } catch { out.blocked = true; }
        resolve({ ...out, hit: window.hit ?? null });
    }))"""
    )
    assert outcome == {"refused": True, "blocked": True, "hit": None}
    opened.close()


def test_it_prints(opened, tmp_path):
    target = tmp_path / "report.pdf"
    opened.page.pdf(path=target, format="A4")
    content = target.read_bytes()
    assert content.startswith(b"%PDF")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", content)) <= 25


def test_many_runs_and_policies_are_ready_soon(chromium, tmp_path):
    """100 policies on 300 runs; the limit is loose, since no test may depend on how busy the machine is."""
    from tests.conftest import curve, write_log

    for number in range(300):
        write_log(tmp_path / "logs" / f"run{number:03}", curve(number, 60), seed=number)
    target = tmp_path / "report.html"
    run(
        "report",
        tmp_path / "logs",
        "--grid",
        "patience=1..25",
        "--grid",
        "min_delta=0,1e-3,1e-2,0.1",
        "--out",
        target,
    )
    opened = Opened(chromium, target)
    ready = opened.page.evaluate("performance.now()")
    assert ready < 60_000
    assert opened.page.locator("#runs [role=option]").count() == 120
    opened.page.click("#runs > button")
    assert opened.page.locator("#runs [role=option]").count() == 240
    assert opened.messages == []
    opened.close()
