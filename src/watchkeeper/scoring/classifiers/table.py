"""Every built-in classifier: adding one is a file and a line here."""

from watchkeeper.scoring.checks.base import Check
from watchkeeper.scoring.classifiers.answer_relevance import AnswerRelevance
from watchkeeper.scoring.classifiers.groundedness import Groundedness
from watchkeeper.scoring.classifiers.injection import InjectionRisk
from watchkeeper.scoring.classifiers.sentiment import Sentiment
from watchkeeper.scoring.classifiers.toxicity import Toxicity

CLASSIFIERS: tuple[type[Check], ...] = (Groundedness, AnswerRelevance, InjectionRisk, Toxicity, Sentiment)
BY_TYPE: dict[str, type[Check]] = {c.type: c for c in CLASSIFIERS}


def default_classifiers() -> list[Check]:
    """The classifiers that run on all traffic without configuration."""
    return [c() for c in CLASSIFIERS if c.default]
