"""Comments that say the same become one name."""

import random

from tests.unit.reviewing.test_signals import embed
from watchkeeper.model.review import Label
from watchkeeper.reviewing.taxonomy import suggest
from watchkeeper.scoring.classifiers import embed as embedding

SAID = {
    "refund": ("invents a refund policy we do not have", "the refund policy quoted is made up", "refund terms were invented",
               "made-up refund policy again", "quotes a refund rule that does not exist", "refund policy is fiction"),
    "steps": ("no steps to follow, only links", "gives links but no steps", "the steps are missing", "steps missing, just a link",
              "should list the steps instead of linking", "no step by step instructions"),
    "tone": ("rude tone towards a customer", "tone is rude and cold", "impolite, rude tone", "the tone is rude here", "cold and rude tone"),
}  # fmt: skip


def labels(name: str | None = None) -> list[Label]:
    made = [
        Label(f"{topic}{i}", "p", f"i{topic}{i}", f"t{topic}{i}", "ana", i, "bad", name, comment=text)
        for topic, texts in SAID.items()
        for i, text in enumerate(texts)
    ]
    random.Random(4).shuffle(made)
    return [*made, Label("g", "p", "ig", "tg", "ana", 9, "good", comment="fine steps, fine tone")]


def purity(proposals: list[tuple[str, ...]]) -> float:
    alike = sum(max(sum(i.startswith(t) for i in ids) for t in SAID) for ids in proposals)
    return alike / sum(len(ids) for ids in proposals)


def test_it_proposes_a_name_and_a_definition_in_reviewers_words() -> None:
    made = suggest(labels(), embedding.embed if embedding.available() else embed)
    assert 3 <= len(made) <= 7 and purity([s.labels for s in made]) == 1.0
    assert sum(len(s.labels) for s in made) >= 12, "most comments found their like"
    joined = " ".join(s.name for s in made)
    assert "refund" in joined and "rude" in joined and ("steps" in joined or "link" in joined), joined
    written = {text for texts in SAID.values() for text in texts}
    assert all(s.definition in written and len(s.comments) >= 2 for s in made)
    assert len({s.name for s in made}) == len(made)


def test_what_every_comment_says_does_not_make_them_alike() -> None:
    said = (
        "the answer names the wrong {}",
        "wrong {} in the answer",
        "this {} is wrong",
        "answer says the wrong {} again",
    )
    what = ("tone", "date", "citation")
    given = [
        Label(f"{w}{i}", "p", f"i{w}{i}", f"t{w}{i}", "ana", i, "bad", comment=text.format(w))
        for w in what
        for i, text in enumerate(said)
    ]
    for vectors in (embed, *([embedding.embed] if embedding.available() else [])):
        made = suggest(given, vectors)
        assert {s.labels for s in made} == {tuple(f"{w}{i}" for i in range(len(said))) for w in what}


def test_a_group_that_is_named_already_keeps_its_name() -> None:
    made = suggest(labels("made_up"), embedding.embed if embedding.available() else embed)
    assert all((s.name, s.existing) == ("made_up", "made_up") for s in made)


def test_without_comments_or_vectors_it_says_only_what_it_knows() -> None:
    assert suggest([Label("1", "p", "i", "t", "ana", 0, "bad")], None) == []
    twice = [
        Label(str(i), "p", f"i{i}", f"t{i}", "ana", i, "bad", comment="Wrong order number 12")
        for i in range(3)
    ]
    (only,) = suggest(twice, None)
    assert len(only.labels) == 3 and only.name == "number_order"
