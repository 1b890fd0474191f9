"""Words as numbers say the same as the words themselves."""

import itertools
import random
import re
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.scoring.build import trace
from watchkeeper.model.score import Failed, Subject
from watchkeeper.scoring import vocabulary as module
from watchkeeper.scoring.checks.table import default_checks
from watchkeeper.scoring.checks.text_statistics import repetition
from watchkeeper.scoring.classifiers.table import default_classifiers
from watchkeeper.scoring.drive import run_checks
from watchkeeper.scoring.texts import Texts, numbers, words
from watchkeeper.scoring.vocabulary import Vocabulary, distinct, runs_of

PROSE = st.text(alphabet="abcdeé ÄßçİK’'.!?\n\x01\t_09→“·日本", max_size=120)


@given(PROSE)
def test_words_are_what_a_word_pattern_finds(text: str) -> None:
    plain = text.replace("’", "'").lower().replace("'", "")
    assert words(text) == re.findall(r"\w+", plain)


@given(PROSE)
def test_sentences_divide_the_words_and_none_is_empty(text: str) -> None:
    seen = Texts(None, text)
    spelled = [seen.vocabulary.words[i] for i in seen.output_ids]
    assert spelled == words(text.replace("\x01", " "))
    starts = seen.output_starts.tolist()
    assert starts[0] == 0 and starts == sorted(set(starts))
    assert not spelled or starts[-1] < len(spelled)


def test_a_sentence_begins_after_its_predecessors_end() -> None:
    seen = Texts(None, "One two. Three four five!\n\nSix.")
    assert seen.output_starts.tolist() == [0, 2, 5]


@given(st.lists(st.integers(0, 5), max_size=60), st.integers(2, 17))
def test_runs_are_equal_exactly_where_the_words_are(ids: list[int], size: int) -> None:
    vocabulary = Vocabulary()
    hashes = runs_of(vocabulary.ids([f"w{i}" for i in ids]), size).tolist()
    spelled = [tuple(ids[i : i + size]) for i in range(len(ids) - size + 1)]
    assert len(hashes) == len(spelled)
    for (a, b), (x, y) in zip(
        itertools.combinations(spelled, 2), itertools.combinations(hashes, 2), strict=True
    ):
        assert (a == b) == (x == y)


@given(st.lists(st.integers(0, 30), max_size=80))
def test_distinct_numbers_are_a_sorted_set(ids: list[int]) -> None:
    vocabulary = Vocabulary()
    made = vocabulary.ids([f"w{i}" for i in ids])
    assert distinct(made).tolist() == sorted(set(made.tolist()))


@given(st.lists(st.integers(0, 30), max_size=40), st.lists(st.integers(0, 30), max_size=40, unique=True))
def test_places_say_where_a_number_stands_and_nothing_stays_behind(of: list[int], among: list[int]) -> None:
    vocabulary = Vocabulary()
    vocabulary.ids([f"w{i}" for i in range(31)])
    found = vocabulary.places(vocabulary.ids([f"w{i}" for i in of]), vocabulary.ids([f"w{i}" for i in among]))
    assert found.tolist() == [among.index(i) + 1 if i in among else 0 for i in of]
    assert not vocabulary.places(vocabulary.ids([f"w{i}" for i in range(31)]), vocabulary.ids([])).any()


def test_repetition_counts_runs_that_occurred_before() -> None:
    vocabulary = Vocabulary()
    stuck = vocabulary.ids(["a", "b", "c", "d"] * 10)
    assert repetition(stuck) == pytest.approx(1 - 4 / 37)
    assert repetition(vocabulary.ids([str(i) for i in range(40)])) == 0.0
    assert repetition(stuck[:12]) is None


def test_a_full_vocabulary_is_replaced_and_texts_keep_the_one_they_began_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LARGEST", 50)
    monkeypatch.setattr(module, "_current", [Vocabulary()])
    old = Texts("a question", " ".join(f"word{i}" for i in range(100)))
    before = old.output_ids.tolist()
    new = Texts("a question", "another answer")
    assert new.vocabulary is not old.vocabulary
    assert old.vocabulary.ids(words(old.output or "")).tolist() == before


def test_a_word_without_end_is_cut_and_not_remembered_whole() -> None:
    vocabulary = Vocabulary()
    blob = "x" * 1_000_000
    assert vocabulary.ids([blob, blob])[0] == vocabulary.ids(["x" * 80])[0]
    assert max(map(len, vocabulary.words)) == 80


def test_threads_that_learn_at_the_same_time_agree() -> None:
    vocabulary = Vocabulary()
    spelled = [f"term{i}ing" for i in range(6000)]
    got: dict[int, list[int]] = {}

    def learn(number: int) -> None:
        order = spelled.copy()
        random.Random(number).shuffle(order)
        vocabulary.ids(order)
        got[number] = vocabulary.ids(spelled).tolist()

    threads = [threading.Thread(target=learn, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({tuple(ids) for ids in got.values()}) == 1
    assert [vocabulary.words[i] for i in got[0]] == spelled
    assert [vocabulary.words[i] for i in vocabulary.stems[got[0]]] == [f"term{i}" for i in range(6000)]


def test_numbers_have_one_spelling_and_identifiers_are_left_out() -> None:
    text = "1,234.50 and 1234.5, 12,5 or 007; A12 b3 x_4 5kg 6k 7M 3a 3.14."
    assert numbers(text) == {"1234.5", "12.5", "7", "6", "5", "3.14"}
    assert numbers("保修36个月，約12日、가격15000원 ราคา20บาท модель7") == {"36", "12", "15000", "20"}


@pytest.mark.parametrize("room", range(60))
def test_a_vocabulary_that_grows_while_a_trace_is_read_loses_no_score(
    monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    full = Vocabulary()
    # So many words away from larger arrays, each of the trace's own words can be the one that makes them.
    full.ids([f"w{i}" for i in range(len(full.stems) - len(full) - room)])
    monkeypatch.setattr(module, "_current", [full])
    given = trace(
        "Which parcels does Lima ship?",
        "Lima ships blue parcels daily. Carla O'Neil said no.",
        documents=["Parcels leave at noon, said Mr Quispe of Cuzco."],
    )
    found = run_checks(default_checks() + default_classifiers(), [Subject(given)])
    assert not [(s.name, o) for s, _, o in found if isinstance(o, Failed)]
