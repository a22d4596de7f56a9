"""What the report's page works out by itself, in a real browser: the tool for thresholds, and the
data of its figures when it is sent without its folder."""

import shutil
import time
from pathlib import Path

import chromium
import pytest
import records

from xray import metrics, report, report_thresholds, study

pytestmark = pytest.mark.skipif(chromium.find() is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(study, the page's path in a folder of its own); figures/ lies beside that folder."""
    out = tmp_path_factory.mktemp("site")
    for model in ("0", "20", "21", "22"):
        for seed in range(2):
            made = records.run(model, seed, dead=model == "21" and seed == 0)
            records.save(out / "results", made)
    found = study.read(out / "results", study.choose(out / "results")[0])
    report.write(found, out)
    (out / "alone").mkdir()
    return found, Path(shutil.copy(out / "index.html", out / "alone"))


@pytest.fixture(scope="module")
def page():
    with chromium.browser() as tab:
        yield tab


def shown(page) -> dict:
    names = "tp fn fp tn sensitivity specificity ppv npv threshold-shown prevalence-shown thousand"
    parts = {name: f"[data-part={name}]" for name in names.split()}
    return {
        name: page.run(f"document.querySelector('.tool {part}').textContent")
        for name, part in parts.items()
    }


def move(page, control: str, value, kind: str = "input") -> None:
    page.run(
        f"""(() => {{
          const control = document.querySelector(".tool [data-part={control}]");
          control.value = {value};
          control.dispatchEvent(new Event("{kind}", {{ bubbles: true }}));
        }})()"""
    )


def press(page, number: int) -> None:
    page.run(f"document.querySelectorAll('.tool [data-rule]')[{number}].click()")


def expected(run, threshold: int, prevalence: float) -> dict:
    counts = report_thresholds.counts_above(run, threshold)
    scores = metrics.count_scores(**counts)
    rates = float(scores["recall"]), float(scores["specificity"])
    ppv, npv = report_thresholds.predictive(*rates, prevalence)
    rates = dict(zip(("sensitivity", "specificity", "ppv", "npv"), (*rates, ppv, npv)))
    return {name: str(count) for name, count in counts.items()} | {
        name: study.percent(rate) for name, rate in rates.items()
    }


def test_the_tool_counts_what_python_counts(page, made):
    found, alone = made
    page.open(f"file://{alone}", 1280)
    run = found.chosen["20"][0]
    share = float(run.labels["test"].mean())
    for threshold in (-200, -55, 0, 70, 155):
        move(page, "threshold", threshold)
        now = shown(page)
        assert now.items() >= expected(run, threshold, share).items(), threshold
        assert now["threshold-shown"].startswith(f"logit {threshold / 100:.2f}".replace("-", "−"))
    move(page, "prevalence", 10)
    assert shown(page).items() >= expected(run, 155, 0.1).items()
    ill, well = expected(run, 155, 0.1)["sensitivity"], expected(run, 155, 0.1)["specificity"]
    hit, alarms = round(float(ill)), round(9 * (100 - float(well)))
    words = f"Of 1,000 people examined, 100 have pneumonia: {hit} are found, {100 - hit} missed. "
    assert shown(page)["thousand"] == words + f"Of the 900 without it, {alarms} are called ill too."
    page.run("document.querySelector('.tool [data-part=given]').click()")
    assert shown(page).items() >= expected(run, 155, share).items()
    assert page.complaints() == []


def test_a_rule_holds_from_run_to_run(page, made):
    found, alone = made
    page.open(f"file://{alone}", 390)
    for place, model in enumerate(("20", "21", "22")):
        move(page, "model", place, "change")
        run = found.summaries[model].learned[0]
        seeds = page.run("document.querySelector('.tool [data-part=seed]').textContent")
        assert seeds == "".join(str(one.seed) for one in found.summaries[model].learned)
        validation = report_thresholds.hundredths(run.logits["validation"])
        chosen = report_thresholds.choose(validation, run.labels["validation"])
        share = float(run.labels["test"].mean())
        for number, threshold in enumerate(chosen):
            press(page, number)
            assert shown(page).items() >= expected(run, threshold, share).items()
        press(page, 2)
    pressed = "[...document.querySelectorAll('.tool [aria-pressed=true]')].map(b => b.textContent)"
    assert page.run(pressed) == ["finds 99 %"]
    move(page, "model", 0, "change")
    validation = report_thresholds.hundredths(found.chosen["20"][0].logits["validation"])
    labels = found.chosen["20"][0].labels["validation"]
    threshold = report_thresholds.choose(validation, labels)[2]
    assert shown(page)["threshold-shown"].startswith(
        f"logit {threshold / 100:.2f}".replace("-", "−")
    )
    move(page, "threshold", 0)
    assert page.run(pressed) == []


def test_the_keyboard_moves_the_threshold_and_it_is_said_in_words(page, made):
    page.open(f"file://{made[1]}", 1280)
    slider = "document.querySelector('.tool [data-part=threshold]')"
    page.run(f"{slider}.focus()")
    key = {"key": "ArrowRight", "code": "ArrowRight", "windowsVirtualKeyCode": 39}
    for kind in ("keyDown", "keyUp"):
        page.ask("Input.dispatchKeyEvent", type=kind, **key)
    assert shown(page)["threshold-shown"] == "logit 0.05, probability 51.2 %"
    assert page.run(f"{slider}.getAttribute('aria-valuetext')") == "logit 0.05, probability 51.2 %"


def test_without_script_the_table_stands_for_the_tool(page, made):
    page.ask("Emulation.setScriptExecutionDisabled", value=True)
    page.open(f"file://{made[1]}", 1280)
    page.ask("Emulation.setScriptExecutionDisabled", value=False)
    assert page.run("getComputedStyle(document.querySelector('.tool')).display") == "none"
    assert page.run("document.querySelectorAll('#thresholds > details tbody tr').length") == 15


def test_a_page_sent_alone_hands_out_its_data(page, made, tmp_path):
    alone = made[1]
    assert [path.name for path in alone.parent.iterdir()] == ["index.html"]
    page.open(f"file://{alone}", 1280)
    page.ask("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    for name in ("fig-9", "table-1"):
        page.run(f"document.querySelector('#{name} a.csv').click()")
        end, file = time.monotonic() + 20, tmp_path / f"{name}.csv"
        while not file.exists() and time.monotonic() < end:
            time.sleep(0.1)
        beside = alone.parent.parent / "figures" / f"{name}.csv"
        assert file.read_bytes() == beside.read_bytes()
    assert page.complaints() == [] and page.requests() == [f"file://{alone}"]
