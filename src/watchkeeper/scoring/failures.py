"""Whether what a tool returned says that it failed, or that there was nothing."""

import re
from functools import cache
from typing import Any, cast

import msgspec

from watchkeeper.scoring.patterns import PatternSet

_READ = 300
_LONGEST_JSON = 20_000
_DEEPEST = 4
_ERROR_WORDS = "error|fehler|erreur|errore|erro|fout|b[łl][ąa]d|ошибка|错误|錯誤|エラー|오류|hata|virhe|chyba"
_ACTIONS = (
    "call|execut|invok|runn|fetch|process|pars|read|load|perform|access|connect|gett|creat|retriev|search|open|query|updat|send"
    "|writ|sav|generat|mak|delet|import|compil|evaluat|decod|validat|submitt|request|download|upload|resolv"
)
_DOABLE = (
    "connect|open|access|read|load|fetch|resolve|process|parse|retrieve|get|execute|run|reach|complete|create|write|import|perform"
    "|authenticate|query|delete|update|save|send|download|upload|establish|allocate|bind|stat|start|remove|decode|call|invoke"
)
_REASONS = (
    r"bad request|unauthori[sz]ed|payment required|forbidden|not found|method not allowed|not acceptable|request time-?out|conflict|gone"
    r"|unprocessable (?:entity|content)|too many requests|internal server error|not implemented|bad gateway|service unavailable"
    r"|gateway time-?out"
).replace(" ", r"\ ")
# What a failure's own words begin with, after marks and signs in front of them.
_OPENING = re.compile(
    rf"""[^\w$/(-]{{0,8}}(?:\w[\w.-]{{0,40}}\]\s*)?(?:(?:oops|sorry)\W{{1,3}})?(?:
    (?:\w+(?:\.|::)){{0,6}}\w*(?:error|exception)[*_`'"\])]{{0,3}}\s*(?:[:\uff1a]|\n|$)
    |(?:caused\ by:\ )?(?:\w+\.){{0,6}}\w+(?:error|exception)(?:\(|\ \[|\b(?=\W*$))
    |(?:{_ERROR_WORDS})s?[*_`\])]{{0,3}}\s?(?:[:\uff1a>](?!\s*(?:0|none|no)\b)|[-\u2013\u2014]\s|\[\w+\]|\(?[1-9]\d{{2,4}}\b)
    |(?:error|exception|failure)\ (?:(?:while|when|during|occurred|response|code|calling)\b|in\ (?:tool|thread|function)\b|\w+ing\b[^\n]{{0,120}}?:\s|(?:{_ACTIONS})ing\b|al\b|\(\w+\):)
    |(?:fehler|erreur|errore|erro|ошибка)\ (?:beim?|lors|durante|nell?|nel|ao|na|no|при|подключения|запроса)\b
    |\w*(?:error|exception)[>\]]
    |err:|errno\ -?\d|fatal(?:\ error)?:|panic:|npm\ err!|make:\ \*\*\*|segmentation\ fault|un(?:caught|handled)\ [\w.\ ]{{0,40}}(?:error|exception|rejection)\b
    |(?!no\b|without\b|zero\b|last\b|mean\b|standard\b|trial\b|margin\b|undo\b|\d)(?:[\w'-]+\ ){{1,3}}(?:error|exception)(?:\ (?:-?\d{{3,6}}|executing|calling)\b.{{0,60}}?)?\s*(?::(?!\s*(?:[-+\d.]|none\b|null\b|no\b))|\.?\s*$)
    |(?:\d+|an?|the\ following|i\ (?:encountered|got|received)\ an?|there\ was\ an?|encountered\ an?)\ (?:\w+\ ){{0,2}}(?:errors?|exceptions?)\ (?:for|has\ occurred|have\ occurred|occurred|happened|while|when|during)\b
    |(?:i\ (?:encountered|got)|there\ was|encountered)\ an?\ (?:\w+\ )?(?:error|exception|problem)\b|something\ went\ wrong
    |failed\ to\ \w+(?!\W+\d)|traceback\ \(most\ recent
    |(?:i\ (?:was|am)\ )?(?:unable|not\ able)\ to\ (?:{_DOABLE})\b|(?:i\ )?(?:could\ not|couldn['’]t|cannot|can['’]t)\ (?:{_DOABLE}|find\ (?:module|file|package|element))\b
    |http(?:/\d(?:\.\d)?)?\W{{0,3}}(?:(?:status|error|code|response)\W{{1,2}}){{0,3}}[45]\d\d\b
    |[45]\d\d\W{{1,3}}(?:client\ error|server\ error|{_REASONS})\s*(?:[:.!,;(]|\n|$)
    |(?:{_REASONS}|access\ denied|permission\ denied|not\ (?:authori[sz]ed|authenticated|permitted)(?:\ to\ \w+\b)?|operation\ not\ permitted|connection\ (?:refused|reset|timed\ out|closed|aborted|lost)|rate\ limit(?:\ (?:exceeded|reached|hit))|quota\ exceeded|killed|aborted|out\ of\ memory|(?:time-?out|timed\ out)(?!!)|(?:invalid|expired|missing)\ (?:api\ key|token|credentials?))(?:\ (?:by\ peer|after|waiting|for\ url)\b|\s*(?:[:.!,;]|\n|$))(?!\s*(?:none|\d))
    |(?!\d|no\b)(?:[\w'`".-]+\ ){{0,4}}?(?:failed|failure|fail|errored|timed\ out|crashed)(?:\ (?:with|after|due|because)\b|\s*(?:[:!]|\.?\s*$|\n))
    |(?:unknown|invalid|unsupported|unrecogni[sz]ed|missing|no\ such)\ (?:[\w-]+\ )?(?:tools?|functions?|arguments?|parameters?|params?|commands?|json|syntax|options?|methods?|columns?|tables?|modules?|file|url|path|input|value|format|request)\b(?!\W*(?:none|\d))
    |(?:the\ )?(?:tool|function|method|file|module|command|endpoint|table|column|collection|resource|host|object)(?:\ [`'"]?[\w./-]+[`'"]?)?\ (?:was\ )?(?:not\ found|does\ not\ exist|is\ not\ (?:defined|available|installed|a\ valid))
    |thread\ '[^']{{0,80}}'\ panicked|msg\ \d+,\ level|sqlstate\[|e:\ unable|upstream\ connect\ error|(?:<!doctype\ html[^>]*>\s*)?<html[^>]*>\s*(?:<head>\s*)?<title>\s*(?:http\ )?[45]\d\d\b
    |mcp\ error\ -?\d|net::err_|ora-\d{{5}}|e(?:conn[a-z]+|noent|acces|perm|timedout|notfound|ai_again|pipe|hostunreach|addrinuse)\b|getaddrinfo\b
    |(?:(?:command|process|script|program)\ )?(?:failed|exited|returned)?\s?(?:with\ )?(?:an?\ )?(?:non-?zero\ exit|exit\s?(?:code|status)\W{{1,3}}[1-9-]|exit\ [1-9]\d{{0,2}}\n|(?:code|status)\ [1-9]\d{{0,2}}\s*(?:$|\n))
    )""",
    re.IGNORECASE | re.VERBOSE,
)
# A shell and its programs put their name first and the reason last, in one line.
_SHELL = re.compile(
    r"(?:(?:\S*/)?\w*sh: [^\n]{1,120}: not found|[^\s:]{1,120}: (?:[^\n:]{1,120}: ){0,3}[^\n]{0,120}?(?:command not found(?:: \S{1,80})?|is not a \w+ command[^\n]{0,60}|no such file(?: or directory)?|permission denied"
    r"|connection refused|is a directory|not a directory|could not resolve host[^\n]{0,60}|cannot (?:access|open|stat|remove|create)\b"
    r"[^\n]{0,120}|(?:invalid|unrecogni[sz]ed|unknown) option[^\n]{0,60}|operation not permitted|no such table[^\n]{0,60}|error: [^\n]{1,120}))"
    r"['’\")]{0,2}\.?\s*(?:\n|$)",
    re.IGNORECASE,
)
# What a line or two say anywhere in them only where something failed.
_SHORT: tuple[str, ...] = (
    r"\b(?:status|http|response code|error code)\b[^\n\d]*\b[45]\d\d\b|\b(?:max(?:imum)? retries|deadline) exceeded\b|\brequest rate too high\b"
    r"|\b(?:rate|usage|request|token|quota) limit (?:was |has been )?(?:reached|hit)\b|\b(?:token|session|api key|credentials?|certificate)\b[^\n]*"
    r"\b(?:expired|invalid|revoked)\b|\bincorrect api key|\blog-?in (?:is )?required\b|\blogin incorrect\b|\bnot logged in\b|\btemporarily unavailable\b"
    r"|\baddress already in use\b|\bno space left on device\b|\bcore dumped\b|\bdivision by zero\b|\bnon-?zero exit\b|\bno such file or directory\b|\bconnection refused\W*$|\bunknown authority\b|\bmust be logged in\b"
    r"|\b(?:model|server|service) is overloaded\b|\bdeadlock found\b|\bunexpected (?:token|end of)\b|^(?:invalid|missing) (?:date|time|field|id|email|name|number|amount): |^出错|\boperation (?:was )?cancell?ed\b"
    r"|\b[45]\d\d error\b|\b(?:do|does) not have (?:the )?(?:\w+ )?permissions?\b|\bnot (?:authori[sz]ed|permitted|allowed) to\b"
    r"|\binsufficient (?:permissions?|privileges?|scope|quota)\b|\baccess (?:is|was) denied|\bauthentication (?:is )?(?:required|failed)\b"
    r"|\b(?:service|server|api|endpoint|network|host|tool|function|backend|database|engine|element|website|url)\b[^\n]*\b(?:unavailable"
    r"|unreachable|not (?:available|installed|accessible|clickable|responding|known|reachable))\b|\b(?:quota|timeout|limit)\b[^\n]*\bexceeded\b"
    r"|\brate.?limited\b|\bthrottled\b|\bno healthy upstream\b|\bnet::err_|\berr_[a-z_]{6,}|certificate_verify_failed|\berror [a-z]{1,3}\d{3,5}\b"
    r"|\b(?:field|parameter|argument|property)\b[^\n]*\b(?:required|missing)\b|\belement not found\b"
    r"|\bno (?:tool|function|command|module|method|endpoint) (?:named|called|with)\b|\b(?:encountered|raised|threw|thrown|caught) an? (?:\w+ )?(?:error|exception)\b"
    r"|\bexception was (?:raised|thrown)\b|\bfehler (?:ist )?aufgetreten|\berreur (?:\w+ )?est survenue|\b(?:produjo|ocurrió|ocorreu) un?m? err|\bverificato un errore",
    r"произошла ошибка|发生(?:了)?错误|發生錯誤|(?:请求|調用|调用|操作|连接|執行|执行)失败|失败[:：]|エラーが発生|失敗しました|오류가 발생|(?:요청|호출|연결|실행)에? ?실패|^无法|^無法",
)
_SHORT_TEXT = 200
_REPR = re.compile(
    r"\{\s*'(?:error|errors|error_message|exception)'\s*:\s*(?!None|False|''|\"\"|\[\]|\{\}|0\b)\S"
    r"|\{\s*'(?:status|type|result)'\s*:\s*'(?:error|failed|failure)'|\{\s*'(?:success|ok)'\s*:\s*False",
)
_HINTS = (
    "rror",
    '"err"',
    "xception",
    "uccess",
    '"ok"',
    "tatus",
    "tate",
    "ode",
    "ault",
    "ailed",
    "essage",
    "etail",
)


def _keys(line: str) -> frozenset[str]:
    return frozenset(line.split())


_ERRORS = _keys("error err errormessage errormsg errmsg errordescription exception fault")
_CODES = _keys("errorcode errcode errno exitcode returncode exitstatus")
_HTTP = _keys("status statuscode httpstatus httpstatuscode httpcode responsecode")
_STATES = _keys("status state result type outcome")
# Beside these keys a message is all that was returned.
_ENVELOPE = _ERRORS | _CODES | _HTTP | _STATES | _keys("errors success ok succeeded iserror message msg detail details reason code data requestid timestamp path title stack traceback"
    " errortype type hint suggestion retryable")  # fmt: skip
_WRAPPERS = _keys(
    "result output response content toolresult data body text returnvalue value stderr meta responsemetadata"
)
_CODE = re.compile(
    r"error|invalid|missing|denied|not.?found|unauth|forbid|limit|exceed|unavail|time.?out|fail|^E[A-Z]{4,}$",
    re.IGNORECASE,
)
_FAILED = frozenset(("failed", "failure", "fail", "timeout"))
_MESSAGES = ("message", "msg", "detail", "reason", "content", "stderr")
_NO = frozenset(("", "none", "null", "no", "false", "0", "ok", "no error"))


_NOTHING = frozenset(
    (
        "",
        "[]",
        "{}",
        "null",
        "none",
        "undefined",
        '""',
        "()",
        "empty",
        "not found",
        "nothing",
        "(no output)",
        "<no output>",
        "n/a",
    )
)
_NO_RESULTS = re.compile(
    r"\W*(?:(?:your )?(?:search|query|lookup|request)\b[^\n.]{0,60}? )?(?:(?:there (?:are|were)|i|we|returned|found|found that there are|sorry,?) )?"
    r"(?:(?:could not|couldn't|did not|didn't|unable to) find any|no|0|zero) (?:[\w-]+ ){0,3}?(?:results?|match(?:es|ing)?|records?|rows?|items?|documents?"
    r"|entries|hits|data|output|files?|products?|orders?|flights?|events?|information|articles?|users?|customers?|content)\b"
    r"(?: (?:was|were|are|is))?(?: (?:found|returned|available|matched|exist))?(?: (?:for|in|matching|with|that|on|to|about|the)\b[^\n]{0,120})?\W*$"
    r"|\W*(?:nothing|none|no one|nobody) (?:was )?(?:found|matched|returned)\b[^\n]{0,60}$"
    r"|keine (?:\w+ )?(?:ergebnisse|treffer|daten)\b[^\n]{0,60}$|aucune? (?:résultat|donnée)[^\n]{0,60}$|(?:no se encontr|sin result|ningún result)[^\n]{0,80}$"
    r"|nenhum (?:resultado|registro)[^\n]{0,60}$|nessun risultato[^\n]{0,60}$|(?:没有|未)找到[^\n]{0,40}$|(?:該当|結果)[^\n]{0,10}(?:なし|ありません)[^\n]{0,10}$",
    re.IGNORECASE,
)
# What surrounds a list of results without being one.
_AROUND = _ENVELOPE | _WRAPPERS | _keys("total totalcount totalresults count numresults numfound found page pages pagesize perpage limit offset size query q search took tookms"
    " time duration elapsed next nextpage nextcursor nextpagetoken previous cursor hasmore more filters version isincomplete"
    " incompleteresults maxscore aggregations facets meta metadata")  # fmt: skip


@cache
def _in_short() -> PatternSet:
    """Compiled on first use, so that importing the product does not pay for it."""
    return PatternSet(_SHORT)


def failure(result: Any) -> str | None:
    """The tool's words for what went wrong where its result is itself an error, else None."""
    return _failure(result, 0)


def _failure(result: Any, depth: int) -> str | None:
    if depth > _DEEPEST:
        return None
    if isinstance(result, str):
        return _of_text(result, depth)
    if isinstance(result, dict):
        return _of_object(cast("dict[str, Any]", result), depth)
    if isinstance(result, list) and result:
        first = cast("list[Any]", result)[0]
        if isinstance(first, dict) and len(result) == 1 and "error" in first:
            return _failure(first, depth + 1)
        if isinstance(first, dict) and isinstance(text := cast("dict[str, Any]", first).get("text"), str):
            return _failure(text, depth + 1)
    return None


def _of_text(text: str, depth: int) -> str | None:
    if text[:1] == "{" or text[:2] in ("[{", '["', "[[", "[]"):
        if len(text) >= _LONGEST_JSON or not any(map(text.__contains__, _HINTS)):
            return None
        try:
            return _failure(msgspec.json.decode(text.encode("utf-8", "surrogatepass")), depth + 1)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return text[:200] if _REPR.match(text) else None
    head = text[:_READ]
    short = len(text) <= _SHORT_TEXT
    return (
        head[:200]
        if _OPENING.match(head) or _SHELL.match(head) or (short and _in_short().ids(text))
        else None
    )


def _plain(key: str) -> str:
    return key.replace("_", "").replace("-", "").replace(".", "").lower()


def _number(value: Any) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return int(value) if isinstance(value, str) and value.isdigit() and len(value) < 6 else None


def _says(value: Any) -> str | None:
    """A value that stands under the name of an error, as text; None where it says there was none. A count is no error."""
    if isinstance(value, str):
        return None if value.strip().lower() in _NO else value
    if value is True:
        return "the result says error"
    return str(cast("object", value)) if isinstance(value, dict | list) and value else None


def _flagged(named: dict[str, Any], bare: bool) -> bool:
    """Whether a flag, a code or a state says that it failed. What `bare` asks more of may be a field of what was looked up."""
    states = [str(named.get(k, "")).lower() for k in _STATES]
    code = named.get("code")
    return (
        named.get("iserror") is True
        or named.get("failed") is True
        or any(k in named and named[k] in (False, "false", "False") for k in ("success", "ok", "succeeded"))
        or any(_number(named.get(k)) not in (None, 0) for k in _CODES)
        or any(400 <= (_number(named.get(k)) or 0) < 600 for k in (_HTTP | {"code"} if bare else _HTTP))
        or "error" in states
        or (bare and any(state in _FAILED for state in states))
        or any(str(named.get(k, "")).endswith(("Exception", "Error")) for k in ("type", "errortype"))
        or (_number(own := named.get("errorcode")) is None and _says(own) is not None)
        or (bare and isinstance(code, str) and "message" in named and _CODE.search(code) is not None)
    )


def _of_object(fields: dict[str, Any], depth: int) -> str | None:
    named = {_plain(key): value for key, value in fields.items()}
    bare = named.keys() <= _ENVELOPE
    told = next((said for k in _ERRORS if (said := _says(named.get(k))) is not None), None)
    if told is None and bare and isinstance(named.get("errors"), list | dict):
        told = _says(named["errors"])
    if told is not None or _flagged(named, bare):
        return str(told or next((v for k in _MESSAGES if (v := named.get(k))), "the result says error"))[:200]
    said = next((v for k in ("message", "detail", "msg") if isinstance(v := named.get(k), str)), None)
    if bare and said is not None:
        return _of_text(said, depth + 1)
    inner = [v for k, v in named.items() if k in _WRAPPERS and v]
    return _failure(inner[0], depth + 1) if len(inner) == 1 and len(named) <= 3 else None


def nothing(result: Any) -> bool:
    """Whether a known result holds nothing: blank, `null`, an empty list, a list of results without any, or words that say so."""
    if isinstance(result, str):
        return _says_nothing(result)
    if isinstance(result, list):
        items = cast("list[Any]", result)
        blocks = [i.get("text") for i in items if isinstance(i, dict) and i.keys() >= {"type", "text"}]  # pyright: ignore
        return not items or (
            len(blocks) == len(items) and all(isinstance(b, str) and nothing(b) for b in blocks)
        )
    if not isinstance(result, dict):
        return False
    fields = cast("dict[str, Any]", result)
    kept = [v for k, v in fields.items() if isinstance(v, list | dict) or _plain(k) not in _AROUND]
    return not fields or (bool(kept) and all(isinstance(v, list | dict) and nothing(v) for v in kept))


def _says_nothing(text: str) -> bool:
    if len(text) < 24 and text.strip().rstrip(".").lower() in _NOTHING:
        return True
    if text[:1] in ("{", "["):
        if len(text) > _READ or not (
            "[]" in text or "{}" in text or "[ ]" in text or '""' in text or "[{" in text
        ):
            return False
        try:
            return nothing(msgspec.json.decode(text.encode("utf-8", "surrogatepass")))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
    return len(text) <= _SHORT_TEXT and _NO_RESULTS.match(text) is not None
