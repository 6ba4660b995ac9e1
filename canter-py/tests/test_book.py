"""The examples of the book and of the readme run."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def blocks(page):
    text = (ROOT / page).read_text()
    for match in re.finditer(r"```python\n(.*?)```", text, re.DOTALL):
        line = text.count("\n", 0, match.start()) + 1
        yield line, match.group(1)


@pytest.mark.parametrize(
    "page, count", [("python", 12), ("from-pyepics", 5), ("from-aioca", 4), ("from-pycafe", 3)]
)
def test_the_examples_of_the_book_run_one_after_the_other(page, count):
    page = f"docs/src/{page}.md"
    names = {"__name__": "book"}
    ran = 0
    for line, code in blocks(page):
        # So that a failure names the line of the page.
        exec(compile("\n" * line + code, page, "exec"), names)
        ran += 1
    assert ran >= count


def test_the_example_of_the_readme_runs():
    (first, _), (_, sim_code) = blocks("canter-py/README.md")
    exec(compile(sim_code, "README.md", "exec"), {})
    assert first


def test_the_plugin_of_the_book(pytester):
    code = next(code for _, code in blocks("docs/src/python.md") if "def test_it" in code)
    pytester.makepyfile(
        code
        + """
@pytest.mark.ca_pvs({"y": 3})
def test_marked(ioc, ca_client):
    assert ca_client.get("y") == 3 and ca_client.get("x") == 1.0

def test_leak(ca_client):
    ca_client.monitor("x", print)
"""
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["*subscriptions were left open: x*"])
