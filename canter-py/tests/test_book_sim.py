"""The examples of the pages about IOCs in Python run."""

import pytest

from test_book import blocks


@pytest.mark.parametrize(
    "page, count", [("docs/src/sim-python.md", 10), ("docs/src/from-caproto.md", 2), ("docs/src/from-softioc.md", 2)]
)
def test_the_examples_run_one_after_the_other(page, count):
    names = {"__name__": "book"}
    ran = 0
    for line, code in blocks(page):
        # So that a failure names the line of the page.
        exec(compile("\n" * line + code, page, "exec"), names)
        ran += 1
    assert ran >= count


def test_the_page_about_pytest(pytester):
    pytester.makepyfile("\n".join(code for _, code in blocks("docs/src/testing-python.md")))
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=5)
