"""The list of rules that were changed after results were seen."""

import re

from xray import claims, deviations
from xray.effects import FAILS, HOLDS, NOISE


def test_each_entry_names_a_date_known_claims_and_verdicts_and_what_changed():
    known = {claim.id for claim in claims.CLAIMS}
    dates = [entry.date for entry in deviations.DEVIATIONS]
    assert dates == sorted(dates) and all(re.fullmatch(r"\d{4}-\d\d-\d\d", date) for date in dates)
    for entry in deviations.DEVIATIONS:
        assert set(entry.before) <= known
        assert set(entry.before.values()) <= {HOLDS, FAILS, NOISE}
        assert entry.old and entry.new and entry.why and entry.old != entry.new


def test_an_entry_is_a_head_and_three_lines_that_may_go_on():
    (one, other) = deviations.parse(
        "2026-01-02 | holds: C11 C02; within noise: C33\n"
        "  Old: a: b\n  New: c\n    d\n  Why: e\n"
        "2026-01-03 | none\n  Old: f\n  New: g\n  Why: h\n"
    )
    assert one.before == {"C02": HOLDS, "C11": HOLDS, "C33": NOISE}
    assert (one.old, one.new, one.why) == ("a: b", "c d", "e")
    assert other.before == {} and other.date == "2026-01-03"
