"""The list of rules that were changed after results were seen."""

import re

from xray import claims
from xray.deviations import DEVIATIONS, read
from xray.effects import FAILS, HOLDS, NOISE


def test_each_entry_names_a_date_known_claims_and_verdicts_and_what_changed():
    known = {claim.id for claim in claims.CLAIMS}
    dates = [entry.date for entry in DEVIATIONS]
    assert dates == sorted(dates) and all(re.fullmatch(r"\d{4}-\d\d-\d\d", date) for date in dates)
    for entry in DEVIATIONS:
        assert set(entry.before) <= known
        assert set(entry.before.values()) <= {HOLDS, FAILS, NOISE}
        assert entry.old and entry.new and entry.why and entry.old != entry.new


def test_an_entry_as_it_is_written(tmp_path):
    words = '[[changed]]\ndate = 2026-01-02\nold = "a"\nnew = "b"\nwhy = "c"\n'
    more = 'before.holds = "C11 C02"\nbefore."within noise" = "C33"\n'
    (tmp_path / "x.toml").write_text(words + more + words, encoding="utf-8")
    one, other = read(tmp_path / "x.toml")
    assert one.before == {"C02": HOLDS, "C11": HOLDS, "C33": NOISE}
    assert (one.date, one.old, one.new, one.why) == ("2026-01-02", "a", "b", "c")
    assert other.before == {}
