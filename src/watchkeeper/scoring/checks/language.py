from collections.abc import Sequence
from dataclasses import dataclass

from watchkeeper.model.score import NotScored, Outcome, Subject
from watchkeeper.scoring.checks.base import PASS, Check, fail
from watchkeeper.scoring.facts import facts

# Frequent words of each language. One that several languages have counts for each of them in part.
_WORDS = """
en the of and to is that it for you with this are was have not but your can we will be i do my what how on in at as or if from by an a
en has he she they there their would should could when which who why please about more than just me so no yes did does them been were
en our us any all some also its im dont its thats youre get need want like out up here after before because only into over also may might
de der die und das ist nicht ich sie es ein eine mit für auf den zu wir haben auch dem von im bei wie was wird werden wurde kann können sind
de ihr ihre ihren ihnen sich nach aus noch oder aber wenn dass als um am des einen einem einer mir mein meine du dein hat war bitte sehr mehr nur
de schon über bis zum zur diese dieser dieses hier da so kein keine gerne leider möchten sollte müssen vor durch unter alle man uns
fr le la les des et est vous que pour dans une pas nous sur avec votre qui sont ce au je il elle un du de en ne se mon ma mes vos notre nos
fr plus par ou où mais comme cette ces cet aux été être avoir ont a peut pouvez pouvons veuillez bien très aussi si leur tout tous fait faire
fr y sans entre puis déjà après avant dont ici quel quelle quoi comment pourquoi bonjour merci cest jai dune lors
es el los las que y en un una por con para es no su se del lo como está más la de al a sus mi tu le les si pero este esta estos esto ya fue
es son ser ha han hay sobre también puede puedo pueden muy todo todos cuando qué cómo dónde porque hasta desde sin entre usted yo nos ante
es gracias hola aquí tiene tengo debe debería haga eso esa donde así según cada
it il di che è la per un una non sono con del si le questo come anche più gli nel i lo della dei delle al alla da ha hai ho in mi ti ci se ma
it tuo tua suo sua mio mia stato stata essere può possiamo puoi sul sulla nella dal dalla questa questi già prima dopo ecco molto perché quando
it cosa dove tutto tutti ogni fai qui sia anche degli agli o ed e
pt o os as que e em um uma para com não por do da se na é você mais seu sua no dos das ao à como foi são está ser tem pode podemos este esta
pt isso aqui já mas ou também muito quando seus suas meu minha eu nos nas pelo pela até sem sobre depois antes ele ela há entre porque fazer
pt onde qual quais todos cada de a
nl de het een en van ik je dat niet is op voor met zijn te die ook wij maar aan we u uw er om als dan naar bij nog wel geen kan kunnen
nl worden werd wordt heeft hebben deze dit uit door over zou moet moeten hier wat hoe waar meer mijn jouw hun of tot al onder omdat graag
nl ze hij haar was in zo nu alleen eens uur opnieuw
pl i w nie na się z do to że jest o jak za co po ale od są czy dla przez ten ta te tego tej tym być był była było może można już tylko
pl oraz lub gdy które który która jego jej ich mój moja twój twoja twoje ze we ku przed przy pod nad bez aby proszę bardzo więc tak jeśli tu
pl ma mam masz my ja on ona oni ci mnie ponieważ nam został została powinien powinna także również możemy
sv och att det är som en på av för inte med jag du har vi den till ett kan om de men var din ditt dina från eller så här när ska skulle
sv också mycket efter blir bli mig dig sig sin min mitt alla detta denna dessa där vad hur man bara eftersom redan längre innan utan mot vid under
da og at det er som en på af for ikke med jeg du har vi den til et kan om de men var din dit dine fra eller så her når skal skulle
da også meget efter bliver blive mig dig sig sin min mit alle dette denne disse der hvad hvordan man kun fordi allerede længere inden uden mod ved være blev
da ud op over hvis noget ingen kunne bør hos
no og at det er som en på av for ikke med jeg du har vi den til et kan om de men var din ditt dine fra eller så her når skal skulle
no også mye etter blir bli meg deg seg sin min mitt alle dette denne disse der hva hvordan man bare fordi allerede lenger før uten mot ved være ble
no ut opp over hvis noe ingen kunne bør hos i å
fi ja on ei se että olla ole ovat oli tämä hän me te he minä sinä kun jos mutta tai myös niin kuin vain jo joka mikä mitä miten missä
fi voi voit emme en et voimme sen sitä tämän ne nämä hänen teidän minun sinun koska ennen jälkeen kanssa sekä vielä nyt siitä hyvin paljon kaikki
fi pitäisi valitettavasti ovat olen olet siellä täällä
tr ve bir bu için ile da de ne çok daha olarak var olan gibi kadar en ki ama veya değil mi mı sonra önce her ben sen biz siz o şu
tr nasıl neden çünkü artık lütfen size bize bana tüm yok olduğu olmalı ya hem şimdi göre ise üzerinde maalesef
cs a v je na se že to s z o do jak ale jako by pro po za si tak jsou není být byl byla bylo už také nebo který která které
cs jeho její vám vás váš vaše můžete můžeme prosím když protože tento tato toto před od při než jen ještě kde co kdy jsem jste jsme měl má mít můj
hu a az és hogy nem is egy ez van meg de ha csak már mint vagy el ki fel be le volt lesz lehet kell még nagyon ezt azt mert akkor
hu itt ott én te ő mi ti ők hogyan miért mikor után előtt között alatt minden sajnos kérem köszönöm tudjuk amely ami aki
ro și în de la cu nu este pe un o că să din a al ai ale pentru care mai ce se fi sunt am are au fost ar trebui dar sau dacă ca
ro prin după înainte până acest această aceste deoarece foarte tot toate vă dumneavoastră îmi mea meu când unde cum putem poate iar
id yang dan di ini itu dengan untuk tidak dari dalam akan pada adalah ke karena juga anda saya kami kita ada bisa sudah oleh atau sebagai
id dapat lebih telah hari jika maka seperti apa bagaimana mereka dia belum harus silakan tersebut agar setelah sebelum hanya banyak semua maaf
vi và của là có không được cho trong với một các những này đã sẽ để người khi từ đến bạn tôi chúng vì cũng như về ra đó nhưng nếu rất
vi ở thì hay hoặc vào trên theo sau trước xin vui lòng thể gửi
"""
_MOST_SHARED = 5


def _weights() -> dict[str, tuple[tuple[str, float], ...]]:
    languages: dict[str, dict[str, None]] = {}
    for line in _WORDS.strip().split("\n"):
        language, *listed = line.split()
        for word in listed:
            languages.setdefault(word, {})[language] = None
    return {
        w: tuple((one, 1 / len(of)) for one in of) for w, of in languages.items() if len(of) <= _MOST_SHARED
    }


_OF_WORD = _weights()
_WRITTEN = tuple(dict.fromkeys(line[:2] for line in _WORDS.strip().split("\n")))
# A text that says little in the words above still shows by letters that no other of these languages has.
_OWN_LETTERS = {
    letter: language
    for language, letters in {
        "de": "ß",
        "pl": "łęąśżź",
        "tr": "ğış",
        "cs": "ěřů",
        "hu": "őű",
        "ro": "șță",
        "vi": "ạảấầẩẫậắằẳẵặẹẻẽếềểễệịỉọỏốồổỗộớờởỡợụủứừửữựđơư",
        "es": "ñ¿¡",
        "pt": "ãõ",
        "fr": "œ",
    }.items()
    for letter in letters
}
_UKRAINIAN = frozenset("іїєґ")
_SCRIPTS: tuple[tuple[int, int, str], ...] = (
    (0x0370, 0x03FF, "el"),
    (0x0400, 0x04FF, "ru"),
    (0x0590, 0x05FF, "he"),
    (0x0600, 0x06FF, "ar"),
    (0x0900, 0x097F, "hi"),
    (0x0E00, 0x0E7F, "th"),
    (0x3040, 0x30FF, "ja"),
    (0x4E00, 0x9FFF, "zh"),
    (0xAC00, 0xD7AF, "ko"),
)
LANGUAGES = (*_WRITTEN, *(s for _, _, s in _SCRIPTS), "uk")


def _script(text: str) -> str | None:
    counts: dict[str, int] = {}
    letters = 0
    for char in text[:4000]:
        if not char.isalpha():
            continue
        letters += 1
        code = ord(char)
        if code < 0x0370:
            continue
        for low, high, language in _SCRIPTS:
            if low <= code <= high:
                counts[language] = counts.get(language, 0) + 1
                break
    if not counts or not letters:
        return None
    # Japanese mixes kana with the characters Chinese uses: a tenth of kana decides.
    if counts.get("ja", 0) > 0.1 * letters:
        return "ja"
    best = max(counts, key=counts.__getitem__)
    if best == "ru" and not _UKRAINIAN.isdisjoint(text[:4000].lower()):
        counts["uk"] = counts.pop(best)
        best = "uk"
    return best if counts[best] > 0.3 * letters else None


def guess(text: str, tokens: Sequence[str]) -> str | None:
    """The language of a text as an ISO 639-1 code, or None when it is too short or unclear to say. Other Cyrillic than
    Ukrainian counts as `ru`, Arabic script as `ar`, Devanagari as `hi`: scripts, not languages."""
    if not text.isascii():
        script = _script(text)
        if script is not None:
            return script
    if len(tokens) < 5:
        return None
    sample = tokens[:400]
    hits: dict[str, float] = {}
    for token in sample:
        for language, weight in _OF_WORD.get(token, ()):
            hits[language] = hits.get(language, 0.0) + weight
    if not text.isascii():
        for char in text[:2000].lower():
            if char in _OWN_LETTERS:
                language = _OWN_LETTERS[char]
                hits[language] = hits.get(language, 0.0) + 0.5
    ranked = sorted(hits, key=hits.__getitem__, reverse=True)
    if not ranked:
        return None
    first, second = hits[ranked[0]], hits[ranked[1]] if len(ranked) > 1 else 0.0
    clear = first >= max(1.5, 0.08 * len(sample)) and first >= 1.4 * second
    return ranked[0] if clear else None


@dataclass(frozen=True, kw_only=True)
class Language(Check):
    """The output is in an expected language. Short or unclear texts are not judged.

    expected: ISO 639-1 codes, or `input`: the language of the input.
    """

    type = "language"
    row = "C1"
    summary = "The output is in an expected language, or in the input's."
    error_class = "invalid_output"
    example = {"expected": ["en", "de"]}

    expected: Sequence[str] | str = "input"

    def prepare(self) -> None:
        if self.expected == "input":
            return
        wanted = [self.expected] if isinstance(self.expected, str) else list(self.expected)
        unknown = [w for w in wanted if w not in LANGUAGES]
        if unknown or not wanted:
            raise ValueError(f"expected: {unknown!r} is not allowed; input or any of {', '.join(LANGUAGES)}")
        object.__setattr__(self, "expected", tuple(wanted))

    def one(self, subject: Subject) -> Outcome:
        if not subject.output_text:
            return NotScored("no output recorded")
        seen = facts(subject)
        got = guess(subject.output_text, seen.output_words)
        if got is None:
            return NotScored("too short or unclear to tell the language")
        if self.expected == "input":
            wanted = guess(seen.input or "", seen.input_words)
            if wanted is None:
                return NotScored("the input's language is unclear")
            return PASS if got == wanted else fail(f"input in {wanted}, output in {got}", self.error_class)
        if got in self.expected:
            return PASS
        return fail(f"in {got}, expected {' or '.join(self.expected)}", self.error_class)
