"""The verdicts on the paper's claims, as the report shows them."""

import re
from collections import Counter
from functools import lru_cache

from markupsafe import Markup

from xray import claims
from xray.items import Item, item, numbers
from xray.study import Study

MOST = 2  # conditions of one claim that are said in words


@lru_cache(maxsize=1)
def judged(study: Study) -> list[claims.Verdict]:
    return claims.judge(study)


@numbers("claims")
def tally(study: Study) -> dict:
    """How many claims got which verdict, and each claim's verdict by its id."""
    verdicts = judged(study)
    counts = Counter(verdict.verdict for verdict in verdicts)
    return {
        "all": len(verdicts),
        "counts": {word: counts[word] for word in claims.VERDICTS if counts[word]},
        "primary": [verdict.id for verdict in verdicts if verdict.primary],
        "verdicts": {verdict.id: verdict.verdict for verdict in verdicts},
    }


def on(study: Study, name: str) -> Markup:
    """The claims that an item or a section is the evidence for, each with its verdict."""
    links = [
        f"[{verdict.id} **{verdict.verdict}**](#claim-{verdict.id.lower()})"
        for verdict in judged(study)
        if verdict.link == name
    ]
    return Markup(f"Claims: {', '.join(links)}." if links else "")


def conditions(verdict: claims.Verdict) -> str:
    """What decided a verdict: how many conditions came out how, then those that decided."""
    if not verdict.findings:
        return verdict.figures[:1].upper() + verdict.figures[1:]
    counts = Counter(finding.outcome for finding in verdict.findings)
    worst = next(word for word in (claims.FAILS, claims.NOISE, claims.HOLDS) if counts[word])
    deciding = [finding for finding in verdict.findings if finding.outcome == worst]
    said = [f"{claims.MARKS[worst]} {in_short(finding.words)}" for finding in deciding[:MOST]]
    more = len(deciding) - MOST
    said += [f"{more} more in claims.json"] if more > 0 else []
    parts = [f"{number} {claims.MARKS[word]}" for word, number in counts.items()]
    return f"{' '.join(parts)}: " * (len(verdict.findings) > 1) + "; ".join(said)


def in_short(words: str) -> str:
    """A finding's words without what stands behind its interval: "accuracy, 22b − 20b: +1.2 points
    (+0.2 to +2.3)"."""
    return re.sub(r" \(95 %: ([^;)]*)[^)]*\)", r" (\1)", words)


def adjusted(verdict: claims.Verdict) -> str:
    """What Holm's adjustment made of a primary claim; empty for the others."""
    if not verdict.primary or verdict.p is None:
        return ""
    p = "p < 0.001" if verdict.p < 0.001 else f"p = {verdict.p:.2g}"
    if verdict.alone:
        return f"Primary: by itself it {verdict.alone}; {p} after Holm."
    return f"Primary: {p} after Holm."


@numbers("verdicts")
def verdicts(study: Study) -> list[dict]:
    """What the appendix says of each claim."""
    return [
        one._asdict() | {"decided": conditions(one), "adjusted": adjusted(one)}
        for one in judged(study)
    ]


@item("conclusions", "The paper's conclusions")
def conclusions(study: Study) -> Item:
    rows = [
        {
            "Claim": Markup(f"[{one.id}](#claim-{one.id.lower()})"),
            "Verdict": Markup(f"**{one.verdict}**"),
            "In our words": one.claim,
        }
        for one in judged(study)
        if one.section == "4"
    ]
    return Item(table=rows)
