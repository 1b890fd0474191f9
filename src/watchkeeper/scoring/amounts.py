"""Amounts that are written in several ways: 17:30 and 5:30 pm, 1.2 million and 1,200,000, twelve and 12, 45 % and 0.45."""

import re
from collections.abc import Iterator, Sequence

from watchkeeper.scoring.texts import Texts, numbers, words

_NUMBER = r"(\d+(?:[.,]\d+)*)"
# Citation marks and the numbers of lists count nothing.
_MARK = re.compile(r"\[\^?[\d,; \u2013-]+\]|【[^】]*】|^\s*\d{1,2}[.)]\s", re.MULTILINE)
_WIDE_DIGIT = re.compile("[０-９]")
_WIDE = str.maketrans("０１２３４５６７８９", "0123456789")
_SCALES = {
    "k": 1e3, "thousand": 1e3, "tausend": 1e3, "mille": 1e3, "m": 1e6, "mn": 1e6, "mio": 1e6, "million": 1e6, "millionen": 1e6,
    "millions": 1e6, "millones": 1e6, "milioni": 1e6, "milhões": 1e6, "bn": 1e9, "b": 1e9, "mrd": 1e9, "billion": 1e9, "billions": 1e9,
    "milliarde": 1e9, "milliarden": 1e9, "milliard": 1e9, "milliards": 1e9, "miliardi": 1e9,
}  # fmt: skip
# One capital letter or a word: 5 m are metres, 5M are millions.
_SCALED = re.compile(
    rf"{_NUMBER}\s?(?:(k|K|M|B|bn|mn)\b|((?i:{'|'.join(s for s in _SCALES if len(s) > 2)}))\b)"
)
_CLOCK = re.compile(
    r"\b(\d{1,2})(?:[:.h](\d\d))?\s?(?:([AaPp])\.?\s?[Mm]\b|(?:Uhr|Hrs|hrs|o'clock)\b)|\b(\d{1,2})[:h](\d\d)\b"
)
_PERCENT = re.compile(rf"{_NUMBER}\s?(?:%|(?i:percent|per cent|prozent|pour ?cent|por ciento|per cento))")
# One digit counts where it measures something; alone it may number a list.
_MEASURED = """
mg kg km cm mm ml gb mb percent prozent degrees dollar dollars euro euros day days week weeks month months year years hour hours minute
minutes second seconds tag tage tagen woche wochen monat monate monaten jahr jahre jahren stunde stunden minuten jour jours semaine semaines
mois ans heure heures día días semana semanas mes meses año años hora horas dias ano anos giorni settimane mesi anni ore
"""
_MEASURES = _MEASURED.split()
_MEASURE = re.compile(
    rf"(?<![\w.,:/-])(\d)\s?-?(?:[%€$£°]|(?i:{'|'.join(_MEASURES)}|business days|working days)\b)|(?<![\w.,])[$€£](\d)(?![\w.,])"
)
_SPELT = """
en zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen
de null ein zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn achtzehn neunzehn
fr zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize - - -
es cero un dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciséis diecisiete dieciocho diecinueve
it zero un due tre quattro cinque sei sette otto nove dieci undici dodici tredici quattordici quindici sedici diciassette diciotto diciannove
pt zero um dois três quatro cinco seis sete oito nove dez onze doze treze quatorze quinze dezesseis dezessete dezoito dezenove
nl nul een twee drie vier vijf zes zeven acht negen tien elf twaalf dertien veertien vijftien zestien zeventien achttien negentien
"""
_TENS = """
en twenty thirty forty fifty sixty seventy eighty ninety hundred
de zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig hundert
fr vingt trente quarante cinquante soixante - - - cent
es veinte treinta cuarenta cincuenta sesenta setenta ochenta noventa cien
it venti trenta quaranta cinquanta sessanta settanta ottanta novanta cento
pt vinte trinta quarenta cinquenta sessenta setenta oitenta noventa cem
nl twintig dertig veertig vijftig zestig zeventig tachtig negentig honderd
"""
_MORE = {"thousand": "1000", "tausend": "1000", "million": "1000000", "half": "50", "dozen": "12", "third": "3", "first": "1", "second": "2", "eine": "1", "einen": "1", "une": "1", "una": "1"}  # fmt: skip
_WORDS: dict[str, str] = {
    **{w: str(n) for line in _SPELT.strip().split("\n") for n, w in enumerate(line.split()[1:])},
    **{
        w: str(n)
        for line in _TENS.strip().split("\n")
        for n, w in enumerate(line.split()[1:], 2)
        for n in (10 * n,)
    },
    **_MORE,
}
_SAID = frozenset(_WORDS.values())
_DIGITS = re.compile(r"\d+")
# A number and the word after it: most texts have only plain numbers, and are left alone.
_TAILED = re.compile(r"[0-9][0-9.,]*(:[0-9]|\s?-?(?:[^\W\d_]{1,13}|[%€$£°]))")
_UNITS = "% € $ £ ° am pm a p h uhr hrs hr o per pour por business working"
_TAILS = frozenset((*_SCALES, *_MEASURES, *_UNITS.split()))


def _any(text: str) -> bool:
    for tail in _TAILED.findall(text):
        if tail[0] == ":" or tail.lstrip(" \u00a0\n-").lower() in _TAILS:
            return True
    return "$" in text or "€" in text or "£" in text


def _value(text: str) -> float | None:
    told = next(iter(numbers(text)), None)
    try:
        return float(told) if told is not None else None
    except ValueError:
        return None


def _plain(value: float) -> str:
    """As `numbers` spells it."""
    return f"{value:.6f}".rstrip("0").rstrip(".").lstrip("0") or "0"


def _scaled(text: str) -> Iterator[tuple[re.Match[str], str]]:
    for match in _SCALED.finditer(text):
        value = _value(match.group(1))
        scale = _SCALES.get((match.group(2) or match.group(3)).lower())
        if value is not None and scale is not None:
            yield match, _plain(value * scale)


def _times(text: str) -> Iterator[tuple[re.Match[str], set[str]]]:
    """Times of day as `h:m`; where nothing says before or after noon, both."""
    for match in _CLOCK.finditer(text):
        hour, minute = int(match.group(1) or match.group(4)), int(match.group(2) or match.group(5) or 0)
        half = (match.group(3) or "").lower()
        if hour > 24 or minute > 59 or (half and not 1 <= hour <= 12):
            continue
        if half:
            told = {hour % 12 + (12 if half == "p" else 0)}
        else:
            told = {hour % 24, hour + 12} if 0 < hour < 12 else {hour % 24}
        yield match, {f"{h}:{minute}" for h in told}


def claims(text: str) -> tuple[str, dict[str, set[str]]]:
    """The amounts of an answer that can be written in other ways, as they are said, each with the spellings that would support it;
    and the text without them."""
    if not _any(text):
        return text, {}
    found: dict[str, set[str]] = {}
    taken: list[tuple[int, int]] = []
    for match, times in _times(text):
        clear = {f"@{t}" for t in times}
        # On the hour, the evidence may say the number alone: from 9 to 5.
        found[match.group().strip()] = clear | (
            {_DIGITS.findall(match.group())[0].lstrip("0") or "0"}
            if all(t.endswith(":0") for t in times)
            else set()
        )
        taken.append(match.span())
    for match, plain in _scaled(text):
        found[match.group()] = {plain}
        taken.append(match.span())
    for match in _PERCENT.finditer(text):
        value = _value(match.group(1))
        if value is not None and not any(a <= match.start() < b for a, b in taken):
            found[match.group()] = {_plain(value), _plain(value / 100)}
            taken.append(match.span())
    for match in _MEASURE.finditer(text):
        if not any(a <= match.start() < b for a, b in taken):
            found[match.group()] = {match.group(1) or match.group(2)}
    for start, end in taken:
        text = f"{text[:start]}{' ' * (end - start)}{text[end:]}"
    return text, found


def spellings(text: str, wanted: set[str]) -> set[str]:
    """Which of the wanted amounts a text says otherwise than as a plain number: as a product, in words, or, written `@h:m`, as a
    time of day."""
    out: set[str] = set()
    if any(len(w) > 3 and w[0] != "@" for w in wanted):
        out = {plain for _, plain in _scaled(text)}
    if any(w[0] == "@" for w in wanted):
        out |= {f"@{t}" for _, times in _times(text) for t in times}
    if not wanted.isdisjoint(_SAID):
        out |= {_WORDS[w] for w in words(text) if w in _WORDS}
    return out & wanted


def amounts(text: str) -> dict[str, set[str]]:
    """The numbers and amounts of an answer as they are said, each with the spellings that would support it. Citation marks, the numbers
    of lists and single digits that measure nothing are left out.

    >>> amounts("2. It took 12 days [1].")
    {'12': {'12'}}
    """
    if not any(map(text.__contains__, "0123456789")):
        if text.isascii() or not _WIDE_DIGIT.search(text):
            return {}
        text = text.translate(_WIDE)
    rest, found = claims(_MARK.sub(" ", text))
    return {n: {n} for n in numbers(rest) if len(n) > 1} | found


def unsupported(said: dict[str, set[str]], seen: Texts, system: Sequence[str] = ()) -> list[str]:
    """Which amounts (see `amounts`) neither the evidence holds, however it writes them, nor the input or the system prompts; in order."""
    known = seen.evidence_numbers
    missing = [n for n, spelt in said.items() if known.isdisjoint(spelt)]
    if not missing:
        return []
    wanted = {form for n in missing for form in said[n]}
    for source in (seen.input or "", *system):
        known = known | numbers(source) | spellings(source, wanted)
    evidence = seen.evidence_text
    known = known | spellings(evidence, wanted)
    if not evidence.isascii() and _WIDE_DIGIT.search(evidence):
        known |= numbers(evidence.translate(_WIDE))
    return sorted(n for n in missing if known.isdisjoint(said[n]))
