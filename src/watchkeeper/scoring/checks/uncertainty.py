from dataclasses import dataclass

from watchkeeper.model.score import NotScored, Outcome, Subject, Verdict
from watchkeeper.patterns import PatternSet
from watchkeeper.scoring import phrases
from watchkeeper.scoring.checks.base import Check
from watchkeeper.scoring.facts import facts

_AM = r"\bI ?(?:'|’| )?(?: ?a)?m "
APOLOGIES: tuple[str, ...] = (
    rf"{_AM}(?:really |very |so |truly |terribly |deeply )?(?:sorry|afraid)\b|(?:^|\n)\W{{0,4}}(?:(?:oh|hmm|well|no)\W{{1,3}})?sorry\b",
    r"\b(?:my|our|sincere(?:st)?) apolog(?:y|ies)\b|\b(?:I|we) (?:sincerely |do )?apologi[sz]e\b|\bapologies for\b|(?:^|\n)\W{0,4}apologies\b",
    r"\b(?:es )?tut mir (?:sehr )?leid|\bentschuldig(?:ung|en sie)|\bverzeihung\b|\b(?:je suis|nous sommes) (?:vraiment |sincèrement )?désolée?s?\b"
    r"|\bdésolée?,|\blo (?:siento|lamento)\b|\bdisculp[ae]\b|\bperd[óo]n(?:a|e),|\bdesculp[ae]\b|\blamento(?: muito)?,|\bmi (?:dispiace|scuso)\b"
    r"|\bchiedo scusa|\bhet spijt me|\bexcuses voor|\bprzepraszam|\bprzykro mi|\bizvin|\bjag beklagar|\bförlåt|\bbeklager\b|\bundskyld"
    r"|\büzgünüm|\bözür diler|\b(?:mohon )?maaf\b|\bxin lỗi|\bomlouvám se|\bsajnálom|\bîmi pare rău|\bpahoittelen",
    r"извини|прошу прощения|сожале(?:ю|ем)|вибач|对不起|抱歉|對不起|申し訳|すみません|ごめんなさい|죄송|미안|آسف|عذر|أعتذر|מצטער|क्षमा कर|माफ़? कर|ขออภัย|ขอโทษ|λυπάμαι|συγγνώμη",
)
DOUBTS: tuple[str, ...] = (
    rf"(?:{_AM}|(?:^|\n)\W{{0,4}})(?:still |currently |also )?not (?:entirely |completely |really |quite |100% |too |so )?(?:sure|certain|confident|aware)\b"
    rf"|{_AM}(?:unsure|uncertain)\b|\bI (?:really |honestly )?have no idea\b|(?:^|\n)\W{{0,4}}no idea\b",
    r"\b(?:I|we) (?:honestly |really |just |simply |currently )?(?:don(?:'|’)t|do not) (?:actually |really |currently )?(?:know|have (?:access|enough|any|that|the|specific|information))",
    r"\b(?:I|we) (?:couldn(?:'|’)t|could not|can(?:'|’)t|cannot|was(?:n(?:'|’)t| not) able to|(?:a|we)re? unable to|am unable to) (?:directly )?(?:find|locate|determine|verify|confirm|access)\b"
    rf"|{_AM}(?:unable|not able) to (?:directly )?(?:find|locate|determine|verify|confirm|access)\b",
    r"\b(?:it(?:'|’)s|it is) (?:unclear|not clear|difficult to say|hard to say)\b|(?:^|\n)\W{0,4}(?:hmm\W{1,3})?(?:hard|difficult) to say\b|\b(?:I|we) (?:have|found|find|see) no (?:record|trace|mention) of\b|\bcan(?:not|(?:'|’)t) be (?:determined|verified|confirmed|answered) (?:from|with|without|based)\b",
    r"\bI (?:might|may|could) be (?:wrong|mistaken)\b",
    r"\bas an AI\b|\bas a language model\b|\bmy knowledge cutoff\b|\bas of my last\b",
    # Of what was given: the context says nothing about it.
    r"\b(?:context|documents?|sources?|text|passages?|information|search results|excerpts?|question|article) (?:provided |given |above |available )?(?:does not|doesn(?:'|’)t|do not|don(?:'|’)t|did not)"
    r" (?:explicitly |specifically |directly |clearly )?(?:mention|specify|provide|contain|include|say|state|indicate|cover|give|answer|address)\b"
    r"|\b(?:is|are|was) not (?:explicitly |specifically )?(?:mentioned|specified|stated|provided|given|covered) in the\b|\b(?:is not|isn(?:'|’)t) in the (?:provided |given )?(?:context|documents?|sources?|text)\b|\binformation is not available\b"
    r"|\b(?:(?:there is|i have) no (?:relevant |further |specific )?(?:information|details|data|evidence) (?:about|on|of|for|regarding|available|provided|in|that|to)|(?:not enough|insufficient) (?:information|details|data|context|evidence))\b"
    r"|\bwithout (?:additional|more|further) (?:information|details|context|data)\b",
    r"\bich weiß (?:es |das )?(?:leider )?nicht|\bweiß ich (?:das |es )?(?:leider )?nicht|\bich bin (?:mir )?nicht (?:ganz |völlig )?sicher|\b(?:keine|nicht genug) informationen\b|\bich kann (?:das |es )?nicht (?:sagen|finden|bestätigen|überprüfen)"
    r"|\bje ne (?:sais|suis) pas (?:si|sûre?|certaine?|exactement)|\bje ne sais pas|\bje n(?:'|’)ai pas (?:accès|d(?:'|’)informations?|trouvé)"
    r"|\bno lo sé\b|\bno sé (?:si|qué|cuál)|\bno (?:estoy segur|tengo (?:información|acceso|datos)|puedo (?:confirmar|verificar|encontrar))"
    r"|\bnão (?:sei|tenho (?:certeza|acesso|informaç)|consigo (?:encontrar|confirmar|verificar)|encontrei)|\bnon (?:lo so|sono sicur|ho (?:accesso|informazioni|trovato)|so se)"
    r"|\bik weet (?:het )?niet|\bik ben (?:er )?niet zeker|\bgeen informatie\b|\bnie wiem\b|\bnie (?:jestem pew|mam (?:pewności|informacji|dostępu))"
    r"|\bjag vet inte|\bjag är inte säker|\bbilmiyorum|\bemin değilim|\bsaya tidak (?:tahu|yakin)|\btidak (?:ada|memiliki) informasi|\btôi không (?:biết|chắc)|\bnevím\b|\bnejsem si jist",
    r"не знаю|не уверен|нет (?:информации|данных|доступа)|не (?:могу|удалось) (?:найти|подтвердить|проверить)|我不(?:知道|确定|清楚|太确定)|不太清楚|无法(?:确定|确认|核实|找到)|没有(?:找到)?相关(?:的)?(?:信息|资料)"
    r"|わかりません|分かりません|存じません|確認できません|情報(?:が|は)(?:ありません|見つかりません)|모르겠|확실하지 않|정보가 없|찾을 수 없|لا أعرف|لا أعلم|لست متأكد|لا تتوفر|לא יודע|לא בטוח|नहीं पता|नहीं जानता|यकीन नहीं|ไม่ทราบ|ไม่แน่ใจ|δεν (?:ξέρω|γνωρίζω|είμαι σίγουρ)",
)
PATTERNS = APOLOGIES + DOUBTS
_GROUP = phrases.register(PATTERNS)
LABELS = ("apology",) * len(APOLOGIES) + ("uncertain",) * len(DOUBTS)


@dataclass(frozen=True, kw_only=True)
class Uncertainty(Check):
    """Whether the answer apologises or says it does not know: 1 when it does, 0 when not. A rate to watch, not a rule:
    admitting ignorance can be right."""

    type = "uncertainty"
    row = "C5"
    summary = "1 where the answer apologises or admits not knowing, 0 otherwise (a rate to watch)."
    default = True
    unit = "0/1"

    def one(self, subject: Subject) -> Outcome:
        text = subject.output_text
        if not text:
            return NotScored("no output recorded")
        hits = phrases.hits(facts(subject), _GROUP)
        if not hits:
            return Verdict(value=0.0, label="plain")
        phrase = _set().first(text) or ""
        return Verdict(value=1.0, label=LABELS[hits[0]], reason=f"says “{phrase[:80]}”")


_compiled: list[PatternSet] = []


def _set() -> PatternSet:
    if not _compiled:
        _compiled.append(PatternSet(PATTERNS))
    return _compiled[0]
