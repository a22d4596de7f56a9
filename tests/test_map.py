"""The map in xray/__init__.py, held against the folder and its imports."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import xray

ROOT = Path(__file__).resolve().parent.parent
LINES = [line for line in xray.__doc__.splitlines()[5:] if line]
FAMILIES = {}  # module -> the number of its family on the map
for line in LINES:
    if not line.startswith(" "):
        number = len(set(FAMILIES.values()))
    else:
        assert re.fullmatch(r"    \w+ {2,}\S.*", line), line
        FAMILIES[line.split()[0]] = number


def imports(module: str) -> set[str]:
    """The modules of xray that a module imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse((ROOT / "xray" / f"{module}.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "xray":
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("xray."):
            found.add(node.module.split(".")[1])
    return found


def test_the_map_names_each_module_once():
    named = [line.split()[0] for line in LINES if line.startswith(" ")]
    assert len(set(named)) == len(named)
    there = {path.stem for path in (ROOT / "xray").glob("*.py")} - {"__init__"}
    assert set(named) == there


def test_a_family_imports_itself_and_those_above_it():
    wrong = [
        f"{module} imports {other}"
        for module, family in FAMILIES.items()
        for other in imports(module)
        if FAMILIES[other] > family
    ]
    assert wrong == []


def test_no_two_modules_import_each_other():
    order = TopologicalSorter({module: imports(module) for module in FAMILIES})
    assert set(order.static_order()) == set(FAMILIES)  # CycleError names a circle


def test_only_the_reports_script_enters_the_report():
    entering = {
        path.name
        for path in [*(ROOT / "scripts").glob("*.py"), *(ROOT / "xray").glob("*.py")]
        if not path.name.startswith("report") or path.parent.name == "scripts"
        if re.search(r"\breport(_\w+)?\b", " ".join(_imported(path)))
    }
    assert entering == {"report.py"}


def _imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    names = {name.name for node in nodes if node.module == "xray" for name in node.names}
    return names | {node.module.split(".")[1] for node in nodes if "xray." in (node.module or "")}
