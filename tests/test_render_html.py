"""The page in a real browser: no request, no script error, accessible, usable without script, small, harmless."""

import base64
import hashlib
import json
import math
import re
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from inferaudit.model import Report
from inferaudit.render import render
from inferaudit.render._svg import Axis, Line, line_chart
from inferaudit.render.html import LIMIT_BYTES, fitting, prose

GOLDEN = Path(__file__).parent / "golden"


def data(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((GOLDEN / name / "report.json").read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.fail("no chromium on PATH: apt-get install chromium", pytrace=False)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def axe() -> str:
    spec = find_spec("axe_playwright_python")
    assert spec is not None
    assert spec.submodule_search_locations
    return (Path(spec.submodule_search_locations[0]) / "axe.min.js").read_text(encoding="utf-8")


def write(folder: Path, report: dict[str, Any]) -> str:
    file = folder / "report.html"
    file.write_text(render(Report(report), "html"), encoding="utf-8")
    return file.as_uri()


def opened(browser: Browser, address: str, **context: Any) -> tuple[Page, list[str]]:
    """A page, and everything it complained about or asked for beyond itself."""
    page = browser.new_context(**context).new_page()
    noise: list[str] = []
    page.on("console", lambda message: noise.append(message.text))
    page.on("pageerror", lambda error: noise.append(str(error)))
    page.on(
        "request", lambda request: noise.append(request.url) if not request.url.startswith(("file:", "data:")) else None
    )
    page.goto(address)
    return page, noise


@pytest.mark.parametrize(
    ("name", "scheme", "width"), [("no_go", "light", 1280), ("go", "dark", 800), ("incomplete", "light", 400)]
)
def test_the_page_is_accessible_quiet_and_fits(
    browser: Browser, axe: str, tmp_path: Path, name: str, scheme: str, width: int
) -> None:
    page, noise = opened(
        browser, write(tmp_path, data(name)), color_scheme=scheme, viewport={"width": width, "height": 900}
    )
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true })")
    page.evaluate(axe + ";0")
    # All violations, and of what passes one example: to list every node of it takes half of the time.
    violations = page.evaluate(
        "axe.run(document, {resultTypes: ['violations'], preload: false}).then((found) => found.violations)"
    )
    assert [(v["id"], v["nodes"][0]["html"]) for v in violations] == []
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert noise == []


def test_a_link_to_a_finding_opens_it(browser: Browser, tmp_path: Path) -> None:
    report = data("no_go")
    finding = next(f for f in report["findings"] if f["check"] == "gpu-xid")
    for script in (True, False):
        page, _ = opened(browser, f"{write(tmp_path, report)}#f-{finding['fingerprint']}", java_script_enabled=script)
        assert page.locator(f"#f-{finding['fingerprint']}").is_visible()


def test_filters_hide_rows_and_say_how_many(browser: Browser, tmp_path: Path) -> None:
    page, _ = opened(browser, write(tmp_path, data("no_go")))
    page.locator(".tiles a[data-only=fail]").click()
    shown = page.locator("#findings-list [data-status]:visible")
    assert {shown.nth(i).get_attribute("data-status") for i in range(shown.count())} == {"fail"}
    page.locator("[data-tools=findings-list] input[type=search]").fill("no alert looks at")
    assert page.locator("[data-tools=findings-list] [data-count]").inner_text() == "1 shown"


def test_without_script_everything_is_there(browser: Browser, tmp_path: Path) -> None:
    page, _ = opened(browser, write(tmp_path, data("no_go")), java_script_enabled=False)
    assert page.locator("h1").inner_text().strip() == "NO GO"
    assert page.locator(".filters:visible").count() == 0
    assert page.locator(".blocker").count() == 3
    page.locator("details.group summary").nth(1).click()


def test_hostile_names_start_nothing(browser: Browser, tmp_path: Path) -> None:
    from test_render_formats import HOSTILE, poison

    page, noise = opened(browser, write(tmp_path, poison(data("no_go"))))
    assert noise == []
    assert page.evaluate("document.scripts.length") == 1
    assert (
        page.evaluate("document.querySelectorAll('main img, main iframe, main script, [onerror], [onclick]').length")
        == 0
    )
    assert "alert(1)" in HOSTILE
    assert page.evaluate("[...document.links].filter((a) => !/^(https?|file):/.test(a.href)).length") == 0


def test_a_name_without_a_space_makes_no_page_wider(browser: Browser, tmp_path: Path) -> None:
    report = data("no_go")
    for finding in report["findings"]:
        finding |= dict.fromkeys(("title", "message", "subject", "remediation"), "x" * 10_000)
        finding["references"] = ["x" * 10_000]
    page, _ = opened(browser, write(tmp_path, report))
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_the_policy_allows_our_script_alone() -> None:
    text = render(Report(data("go")), "html")
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    wanted = f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'"
    assert f'<meta http-equiv="Content-Security-Policy" content="{wanted}">' in text
    assert re.findall(r'(?:src|href)="(?!#|https://|data:,)', text) == []


@pytest.mark.parametrize("size", [1, 100])
def test_the_page_stays_below_two_megabytes(size: int) -> None:
    report = data("no_go")
    big = "<&\u202e" * size
    one = {**report["findings"][-1], "message": big, "subject": big, "remediation": big * 20, "cause": None,
           "evidence": [{"path": big, "observed": big * 9, "expected": [big]}] * 30}  # fmt: skip
    report["findings"] = [{**one, "fingerprint": f"{i:016x}", "gates": i < 60} for i in range(5000)]
    text = render(Report(report), "html")
    assert len(text.encode()) < LIMIT_BYTES
    assert "more findings are in the JSON report" in text


def test_what_does_not_fit_is_counted() -> None:
    from inferaudit.render._document import Finding

    finding = Finding(check="a", outcome="fail", severity="high", message="m" * 400)  # type: ignore[arg-type]
    entries, omitted = fitting([finding] * 3000, 900_000)
    assert len(entries) + omitted == 3000
    assert [e.full for e in entries] == sorted((e.full for e in entries), reverse=True)


def test_charts_are_drawn_only_where_there_is_a_series() -> None:
    assert render(Report(data("go")), "html").count('class="chart"') == 8  # four of the load, four of the trend
    assert render(Report(data("incomplete")), "html").count('class="chart"') == 0
    half = data("go")
    half["benchmark"]["series"]["gpu"] = None
    text = render(Report(half), "html")
    assert text.count('class="chart"') == 7
    assert re.search(r'id="chart-gpu">\s*<figcaption>.*?</figcaption>\s*<p>not measured</p>', text, re.DOTALL)


def test_charts_share_no_id_and_bring_no_style_or_font() -> None:
    """Twice the same id would break links within the page; a font or colour of their own would break dark mode."""
    text = render(Report(data("go")), "html")
    ids = re.findall(r'\sid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    drawn = "".join(re.findall(r"<svg[^>]*class=\"chart\".*?</svg>", text, re.DOTALL))
    assert not re.search("clip|defs|style|font-family|#[0-9a-fA-F]{3}", drawn)


def test_charts_do_not_depend_on_settings_made_elsewhere() -> None:
    import ziaplot

    first = render(Report(data("go")), "html")
    ziaplot.config.precision = 7
    assert render(Report(data("go")), "html") == first


def test_a_gap_stays_a_gap_and_a_lone_point_is_a_dot() -> None:
    points = ((0.0, 1.0), (1.0, 2.0), (2.0, None), (3.0, 1.0), (4.0, None), (5.0, math.inf))
    text = line_chart("T", "S.", [Line("<a>", points), Line("b", ((0.0, 1.0),))], Axis("x"), Axis("y"))
    assert (text.count('class="line s0"'), text.count('class="dot s0"'), text.count('class="dot s1"')) == (2, 1, 1)
    assert "<a>" not in text
    assert not line_chart("T", "S.", [Line("a", ((0.0, None),))], Axis("x"), Axis("y"))


def test_prose_marks_code_and_nothing_else() -> None:
    assert prose("run `a <b>` & `c") == "run <code>a &lt;b&gt;</code> &amp; `c"
