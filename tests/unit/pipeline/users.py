"""Scorers as users write them, good and bad. Imported by the scorers' own processes, so it imports little."""

import os

from watchkeeper.model.score import Subject


def good(subject: Subject) -> bool:
    return "good" in (subject.output_text or "")


def naughty(subject: Subject) -> float:
    text = subject.output_text or ""
    if text == "hang":
        while True:
            pass
    if text == "crash":
        os._exit(3)
    if text == "eat":
        return float(len(bytearray(8 << 30)))
    if text == "raise":
        raise RuntimeError("no")
    return float("nan") if text == "not a number" else 0.5
