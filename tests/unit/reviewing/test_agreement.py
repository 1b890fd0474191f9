"""Agreement of reviewers against published figures, and what it says with little."""

import numpy as np
import pytest

from watchkeeper.model.review import Label
from watchkeeper.model.series import Estimate, Insufficient
from watchkeeper.reviewing.agreement import agreement, fleiss_kappa

# Fleiss (1971) as tabled in "Fleiss' kappa": 14 raters, 10 subjects, 5 categories; kappa is 0.210.
FLEISS = (
    (0, 0, 0, 0, 14), (0, 2, 6, 4, 2), (0, 0, 3, 5, 6), (0, 3, 9, 2, 0), (2, 2, 8, 1, 1), (7, 7, 0, 0, 0),
    (3, 2, 6, 3, 0), (2, 5, 3, 2, 2), (6, 5, 2, 1, 0), (0, 2, 2, 3, 7),
)  # fmt: skip
# Krippendorff (2011), "Computing Krippendorff's alpha-reliability": 4 observers, 12 units; nominal alpha is 0.743.
UNITS = (
    (1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None),
    (1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3),
    (None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None),
    (1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None),
)  # fmt: skip


def vote(
    item: int, author: str, verdict: str, name: str | None = None, at: int = 0, role: str = "vote"
) -> Label:
    text = f"{item}{author}{at}{role}"
    return Label(text, "p", f"i{item}", f"t{item}", author, at, verdict, name, role=role)


def test_fleiss_kappa_is_the_published_figure() -> None:
    assert fleiss_kappa(FLEISS) == pytest.approx(0.210, abs=5e-4)
    assert np.isnan(fleiss_kappa([[3, 0], [3, 0]]))


def test_alpha_is_the_published_figure() -> None:
    votes = [
        vote(item, f"r{r}", "bad", str(said))
        for r, row in enumerate(UNITS)
        for item, said in enumerate(row)
        if said is not None
    ]
    found = agreement(votes)
    assert isinstance(found.alpha_names, Estimate) and found.alpha_names.value == pytest.approx(
        0.743, abs=5e-4
    )
    assert 0.3 < found.alpha_names.low < 0.743 <= found.alpha_names.high <= 1.0
    assert found.items == 11 and found.reviewers == 4, "one unit has one rating only"
    assert isinstance(found.alpha, Insufficient), "everybody said bad"


def test_two_reviewers_have_cohens_kappa_and_decisions_do_not_count() -> None:
    # Cohen's kappa of 20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no is 0.4.
    cells = [("good", "good")] * 20 + [("good", "bad")] * 5 + [("bad", "good")] * 10 + [("bad", "bad")] * 15
    votes = [v for i, (a, b) in enumerate(cells) for v in (vote(i, "ana", a), vote(i, "ben", b))]
    votes += [vote(i, "eve", "good", role="final") for i in range(20, 35)]
    found = agreement(votes)
    (pair,) = found.pairs
    assert (pair.a, pair.b, pair.n) == ("ana", "ben", 50)
    assert isinstance(pair.kappa, Estimate) and pair.kappa.value == pytest.approx(0.4)
    assert isinstance(found.alike, Estimate) and found.alike.value == pytest.approx(0.7)
    assert found.alike.low < 0.7 < found.alike.high and found.reviewers == 2


def test_the_newest_vote_of_an_author_counts() -> None:
    votes = [vote(0, "ana", "bad", at=1), vote(0, "ana", "good", at=2), vote(0, "ben", "good", at=1)]
    found = agreement(votes)
    assert isinstance(found.alike, Estimate) and found.alike.value == 1.0
    assert isinstance(found.alpha, Insufficient) and "10 are needed" in found.alpha.reason


def test_nothing_shared_says_so() -> None:
    found = agreement([vote(0, "ana", "bad"), vote(1, "ben", "good")])
    assert found.items == 0 and isinstance(found.alike, Insufficient) and found.pairs == ()
