"""Whether what a tool returned says that it failed, or that there was nothing."""

import re
from functools import cache
from typing import Any, cast

import msgspec

from watchkeeper.patterns import PatternSet

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
    "|locate|verify|determine|validate|submit|book|schedule|cancel|register|render|acquire|obtain|launch|mount|install|deploy|encrypt|decrypt"
)
_DONE = (
    "completed|processed|saved|loaded|opened|created|updated|deleted|removed|sent|delivered|reached|read|written|parsed|fetched|retrieved|resolved"
    "|executed|performed|verified|validated|authenticated|accessed|established|started|downloaded|uploaded|imported|exported|booked|submitted"
    "|cancell?ed|scheduled|applied|satisfied|converted|decoded|charged|refunded|changed|modified"
)
_REASONS = (
    r"bad request|unauthori[sz]ed|payment required|forbidden|not found|method not allowed|not acceptable|request time-?out|conflict|gone"
    r"|unprocessable (?:entity|content)|too many requests|internal server error|not implemented|bad gateway|service unavailable"
    r"|gateway time-?out"
).replace(" ", r"\ ")
# What a failure's own words begin with, after marks and signs in front of them.
_OPENING = re.compile(
    rf"""[^\w$/(-]{{0,8}}(?:\w[\w.-]{{0,40}}\]\s*)?(?:(?:oops|(?:i['’]m\ |we['’]re\ )?sorry)\W{{1,3}}(?:but\ )?)?(?:
    (?:\w+(?:\.|::)){{0,6}}\w*(?:error|exception)[*_`'"\])]{{0,3}}\s*(?:[:\uff1a]|\n|$)
    |(?:caused\ by:\ )?(?:\w+\.){{0,6}}\w+(?:error|exception)(?:\(|\ \[|\b(?=\W*$))
    |(?:{_ERROR_WORDS})s?[*_`\])]{{0,3}}\s?(?:[:\uff1a>](?!\s*(?:0|none|no)\b)|[-\u2013\u2014]\s|\[\w+\]|\(?[1-9]\d{{2,4}}\b(?!\ (?:is|was|means|refers|page)\b))
    |(?:error|exception|failure)\ (?:(?:while|when|during|occurred|response|code|calling)\b|in\ (?:tool|thread|function)\b|\w+ing\b[^\n]{{0,120}}?:\s|(?:{_ACTIONS})ing\b|al\b|\(\w+\):)
    |(?:fehler|erreur|errore|erro|ошибка)\ (?:beim?|lors|durante|nell?|nel|ao|na|no|при|подключения|запроса)\b
    |\w*(?:error|exception)[>\]]|\(error\)\s|\*\*\ \(\w{{1,60}}\)\ |error\ from\ \w|error\ in\ [\w.:$]{{1,60}}\([^\n]{{0,200}}\)\ ?:|[\w./-]{{1,40}}:\ (?:fatal\ )?error(?::\ |\ \(|\ \w+\ \w)|[^\s:(]{{1,200}}[:(]\d+[\d:,)]{{0,12}}:?\ (?:fatal\ )?error\b
    |(?:\w+(?:\.|::)){{1,6}}(?:errors?|exceptions?)\.\w{{1,60}}:\ |code:\ \d{{1,5}}\.\ \w+::|\d{{6}}\ \(\w{{5}}\):\ |[45]\d\d:\ ?[\{{<"]|cancell?ing\ \w+\ due\ to\ |no\ such\ element\b|no\ (?:element|node|frame)s?\ (?:was\ |were\ )?found|(?:-err|misconf|noauth|wrongtype)\ |conflict\ \(\w+\):\ |near\ "[^"\n]{{0,80}}":\ syntax\ error
    |(?-i:[a-z])[\w.+-]{{0,20}}:\ {{1,2}}(?:cannot|can['’]t|could\ not|couldn['’]t|unable\ to|failed\ to|unknown|invalid|illegal|missing|unmatched|too\ many|not\ enough|no\ such)\ \w
    |\S{{1,200}}\.\w{{1,5}}:\d+:\d+:\ (?:undefined|undeclared|cannot|expected|unexpected|syntax|missing|invalid|fatal)\b
    |insufficient\ (?:funds|balance|credits?|inventory|stock|memory|disk|space|storage|capacity|arguments|data)\b|tool\ (?:call|use|run|execution)\ (?:was\ )?(?:rejected|denied|cancell?ed|declined|aborted|interrupted|blocked)\b
    |the\ user\ (?:doesn['’]t|does\ not)\ want\ to\ (?:proceed|take)|no\ (?:replacements?|edits?)\ (?:was|were)\ (?:performed|made|applied)|file\ has\ not\ been\ read\ yet|automatic\ merge\ failed
    |(?:invalid|unknown|missing|unsupported|unexpected|undefined|unrecogni[sz]ed)\ [`'"][^`'"\n]{{1,60}}[`'"]|\S{{1,200}}:\d+:in\ [`'][^'\n]{{0,80}}':\ |[45]\d\d\ (?:\w+\ ){{0,4}}(?:error|exception):|usage:\ [^\n]{{1,300}}\n(?:\s[^\n]*\n){{0,9}}\S{{1,60}}:\ error:\ |[45]\d\d[\ -][45]\.\d{{1,3}}\.\d{{1,3}}\b
    |(?:(?:the\ |your\ |this\ )?(?:\w+\ ){{1,3}}(?:could\ not|couldn['’]t)|(?:the|your|this)\ (?:\w+\ ){{1,2}}(?:cannot|can['’]t))\ be\ (?:{_DONE})\b|(?:\w+\ ){{1,2}}not\ (?:{_DONE}):\s
    |err:|errno\ -?\d|fatal(?:\ error)?:|panic:|npm\ err!|make:\ \*\*\*|segmentation\ fault|un(?:caught|handled)\ [\w.\ ]{{0,40}}(?:error|exception|rejection)\b
    |(?!no\b|without\b|zero\b|last\b|not\b|mean\b|standard\b|trial\b|margin\b|undo\b|\d)(?:[\w'-]+\ ){{1,3}}(?:error|exception)(?:\ (?:-?\d{{3,6}}|executing|calling)\b.{{0,60}}?)?\s*(?::(?!\s*(?:[-+\d.]|none\b|null\b|no\b))|\.?\s*$)
    |(?:\d+|an?|the\ following|i\ (?:encountered|got|received)\ an?|there\ was\ an?|encountered\ an?)\ (?:\w+\ ){{0,2}}(?:errors?|exceptions?)\ (?:for|has\ occurred|have\ occurred|occurred|happened|while|when|during)\b
    |(?:i\ (?:encountered|got)|there\ was|encountered)\ an?\ (?:\w+\ )?(?:error|exception|problem)\b|something\ went\ wrong
    |failed\ to\ \w+(?!\W+\d)|traceback\ \(most\ recent(?!\ call\ last\)\ \w)
    |(?:(?:i|we)\ (?:was|am|were|are)\ )?(?:unable|not\ able)\ to\ (?:{_DOABLE})\b|(?:i\ |we\ )?(?:could\ not|couldn['’]t|cannot|can['’]t)\ (?:{_DOABLE}|find\ (?:module|file|package|element))\b
    |http(?:/\d(?:\.\d)?)?\W{{0,3}}(?:(?:status|error|code|response)\W{{1,2}}){{0,3}}[45]\d\d\b
    |[45]\d\d\W{{1,3}}(?:client\ error|server\ error|{_REASONS})\s*(?:[:.!,;(]|\n|$)
    |(?:{_REASONS}|access\ denied|permission\ denied|not\ (?:authori[sz]ed|authenticated|permitted)(?:\ to\ \w+\b)?|operation\ not\ permitted|connection\ (?:refused|reset|timed\ out|closed|aborted|lost)|rate\ limit(?:\ (?:exceeded|reached|hit))|quota\ exceeded|killed|aborted|out\ of\ memory|(?:time-?out|timed\ out)(?!!)|(?:invalid|expired|missing)\ (?:api\ key|(?:\w+\ )?token|credentials?)(?:\ (?:provided|supplied|given|specified))?)(?:\ (?:by\ peer|after|waiting|for\ url)\b|\s*(?:[:.!,;]|\n|$))(?!\s*(?:none|\d))
    |(?!\d|no\b)(?:[\w'`".-]+\ ){{0,4}}?(?:failed|failure|fail|errored|timed\ out|crashed)(?:\ (?:with|after|due|because)\b|\s*(?:[:!]|\.?\s*$|\n))
    |(?:unknown|invalid|unsupported|unrecogni[sz]ed|missing|no\ such)\ (?:[\w-]+\ )?(?:tools?|functions?|arguments?|parameters?|params?|commands?|json|syntax|options?|methods?|columns?|tables?|modules?|file|url|path|input|value|format|request)\b(?!\W*(?:none|\d))
    |(?:the\ )?(?:tool|function|method|file|module|command|endpoint|table|column|collection|resource|host|object|path|directory|folder|branch|repository|variable|property|attribute|selector|index|schema|relation|database|bucket|package|image)(?:\ [`'"]?[\w./:-]+[`'"]?)?\ (?:was\ )?(?:not\ found|does\ not\ exist|is\ not\ (?:defined|available|installed|a\ valid))
    |thread\ '[^']{{0,80}}'\ panicked|msg\ \d+,\ level|sqlstate\[|e:\ unable|upstream\ connect\ error|(?:<!doctype\ html[^>]*>\s*)?<html[^>]*>\s*(?:<head>\s*)?(?:<meta[^>]*>\s*){{0,4}}<title>\s*(?:(?:http|error|status)\W{{1,2}}){{0,2}}[45]\d\d\b
    |(?:<\?xml[^>]*>\s*)?<(?:\w+:)?envelope\b.{{0,300}}?<(?:\w+:)?fault>|(?:<\?xml[^>]*>\s*)<(?:\w+:)?(?:error|fault|exception)\w*[\s>]
    |(?:the\ |your\ )?(?:payment|card|transaction|charge|request|login|transfer|access)(?:\ (?:\w+\ )?(?:was|has\ been|is))?\ (?:declined|rejected|refused)\b|(?:your|the)\ (?:\w+\ ){{1,4}}(?:introduced|caused|produced)\ (?:\w+\ ){{0,3}}(?:errors?|exceptions?)\b
    |(?:the\ )?(?:kernel|process|worker|server|session|container|pod|browser|page|tab|interpreter|shell|backend|job)\ (?:has\ )?(?:died|crashed|exited|closed|stopped)\ unexpectedly
    |mcp\ error\ -?\d|net::err_|ora-\d{{5}}|(?:read\ |write\ |connect\ )?e(?:conn[a-z]+|noent|acces|perm|timedout|notfound|ai_again|pipe|hostunreach|addrinuse)\b|getaddrinfo\b
    |(?:(?:command|process|script|program)\ )?(?:failed|exited|returned)?\s?(?:with\ )?(?:an?\ )?(?:non-?zero\ exit|exit\s?(?:code|status)\W{{1,3}}[1-9-]|exit\ [1-9]\d{{0,2}}\n|(?:code|status)\ [1-9]\d{{0,2}}\s*(?:$|\n))
    )""",
    re.IGNORECASE | re.VERBOSE,
)
# Without one of these nothing above or below can match: one quick pass spares most texts the slow ones.
_HINTED = (
    "err", "exception", "fehler", "fout", "b[łl][ąa]d", "ошибка", "错误", "錯誤", "エラー", "오류", "hata", "virhe", "chyba", "fatal", "panic", "fault", "fail", "wrong",
    r"make: \*", "traceback", "unable", r"\bnot (?:able|found|author|authen|permit|accept|implem|exist|defin|avail|install|a (?:valid|direct)|want|enough|be |been )", "cannot", "n['’]t ",
    r"\bnot \w+:", r"http\W", r"\b[45]\d\d\W", "bad request", "unauthori", "payment", "forbidden", "conflict", r"^\W*gone\b", "unprocessable", "too many", "gateway", "unavailable",
    "denied", "not allowed", "connection", "rate limit", "quota", "killed", "aborted", "out of memory", "time-?out", "timed out", "invalid", "expired", "missing", "crashed", "unknown",
    "unsupported", "unrecogni", "no such", "panicked", r"msg \d", "sqlstate", "<title", "envelope", r"<\?xml", r"mcp ", "net::", r"ora-\d", "econn", "enoent", "eacces", "eperm", "etimed",
    "enotfound", "eai_again", "epipe", "ehostun", "eaddrin", "getaddrinfo", "exit", r"code:? [1-9]", r"status [1-9]", r"\*\* \(", r"\d{6} \(", "misconf", "noauth", "wrongtype",
    "unmatched", "illegal", "undefined", "undeclared", "expected", "insufficient", "declined", "rejected", "refused", "interrupted", "cancel", "blocked", "no element", "no node",
    "no frame", "no route", "unreachable", "service not known", "broken pipe", "busy", "read-only", "no space", r"curl: \(", "no replacement", "no edit", "unexpectedly", r":\d+:in ", r"problem\b", r"is an? (?:not a )?directory", "could not", "not a \\w+ command",
)  # fmt: skip
# A shell and its programs put their name first and the reason last, in one line.
_SHELL = re.compile(
    r"(?!\W{0,3}(?:warn|note|info|debug|hint|readme))(?:(?:\S*/)?\w*sh: [^\n]{1,120}: not found|[^\s:]{1,120}: (?:[^\n:]{1,120}: ){0,3}(?:error: [^\n]{1,120}|[^\n]{0,120}?(?:command not found(?:: \S{1,80})?|is not a \w+ command[^\n]{0,60}|no such file(?: or directory)?|permission denied"
    r"|connection refused|is a directory|not a directory|could not resolve host[^\n]{0,60}|cannot (?:access|open|stat|remove|create)\b"
    r"[^\n]{0,120}|(?:invalid|unrecogni[sz]ed|unknown) option[^\n]{0,60}|operation not permitted|no such table[^\n]{0,60}"
    # What the operating system says of its calls.
    r"|(?:connection|operation) timed out|no route to host|(?:network|host) is unreachable|name or service not known|temporary failure in name resolution"
    r"|broken pipe|(?:device|text file) (?:or resource )?busy|read-only file system|no space left on device|input/output error|cannot allocate memory|exec format error))|curl: \(\d{1,3}\) [^\n]{1,300})"
    r"['’\")]{0,2}\.?\s*(?:\n|$)",
    re.IGNORECASE,
)
# A program's own report of how it died: below what it printed before, or below the line of the source.
_STACK = re.compile(
    r"(?:^|\n)[\w.$:]{0,120}(?:Error|Exception)\b[^\n]{0,200}\n\s+at [^\n]{1,200}[:(]|\nstack traceback:\n\s|\ngoroutine \d+ \[|\n(?:error(?:\[\w+\])?|fatal(?: error)?): [^\n]"
)
_BELOW = (
    "\n\tat ",
    "\n    at ",
    "\n   at ",
    "\n  at ",
    "\nstack traceback:",
    "\ngoroutine ",
    "\nerror",
    "\nfatal",
)
_TRACEBACK = "Traceback (most recent call last):\n  "
_LAST_LINE = re.compile(r"(?:\w+\.){0,6}\w{1,80}(?::[^\n]{0,2000})?")
# What a line or two say anywhere in them only where something failed.
_SHORT: tuple[str, ...] = (
    r"\b(?:status|http|response code|error code)\b[^\n\d]*\b[45]\d\d\b|\b(?:max(?:imum)? retries|deadline) exceeded\b|\brequest rate too high\b"
    r"|\b(?:rate|usage|request|token|quota) limit (?:was |has been )?(?:reached|hit)\b|\b(?:token|session|api key|credentials?|certificate)\b[^\n]*"
    r"\b(?:expired|invalid|revoked)\b|\bincorrect api key|\blog-?in (?:is )?required\b|\blogin incorrect\b|\bnot logged in\b|\btemporarily unavailable\W*$"
    r"|\baddress already in use\b|\bno space left on device\b|\bcore dumped\b|\bdivision by zero\b|\bnon-?zero exit\b|\bno such file or directory\b|\bconnection refused\W*$|\bunknown authority\b|\bmust be logged in\b"
    r"|\b(?:model|server|service) is overloaded\b|\bdeadlock found\b|\bunexpected (?:token|end of)\b|^(?:invalid|missing) (?:date|time|field|id|email|name|number|amount): |^出错|\boperation (?:was )?cancell?ed\b"
    r"|\b[45]\d\d error\b|\b(?:do|does) not have (?:the )?(?:\w+ )?permissions?\b|\bnot authori[sz]ed to\b|\b(?:you|user|account|caller|client|token|role|agent|app|application|plan|principal|operation|request|method)\b[^\n]{0,60}\bnot (?:permitted|allowed) to\b|^not allowed to\b|^limit[^\n]*\bexceeded\b"
    r"|\binsufficient (?:permissions?|privileges?|scope|quota)\b|\baccess (?:is|was) denied|\bauthentication (?:is )?(?:required|failed)\b"
    r"|\b(?:service|server|api|endpoint|network|host|system|site|platform|tool|function|backend|database|engine|element|website|url)\b(?:[^\n.]|\.\w){0,80}\b(?:unavailable"
    r"|unreachable|not (?:available|installed|accessible|clickable|responding|known|reachable))\b|\b(?:quota|timeout|maximum (?:\w+ ){1,4}|(?:rate|requests?|usage|tokens?|daily|hourly|monthly|size|length|time|memory|concurrency|calls?|api|spending|upload|character|execution|recursion|retry|retries|context|message|file|connection) (?:\w+ )?limit)\b[^\n]*\bexceeded\b"
    r"|\brate.?limited\b|\bthrottled\b|\bno healthy upstream\b|\bnet::err_|\berr_[a-z_]{6,}|certificate_verify_failed|\berror [a-z]{1,3}\d{3,5}\b"
    r"|\b(?:field|parameter|argument|property)\b[^\n]*\b(?:required|missing)\b|\belement not found\b"
    r"|\b(?:credentials?|token|key|header|field|parameter|argument|value|password)\b[^\n]*\b(?:not|neither) (?:\w+ )?(?:provided|supplied|given|specified|set|configured)\b"
    r"|\bplease (?:try|retry) (?:again|later)\b|\btry again (?:later|in)\b|\bconnection\b[^\n]{0,60}\b(?:was|were) (?:refused|reset|closed|lost)\b|\bsocket hang up\b|^permission denied for \w"
    r"|\bhas no (?:column|attribute|property|member|method|field|key)\b|^the requested [^\n]{1,60} (?:is|was|are|were) not (?:available|supported|valid|allowed)\b|\b\w+ error (?:on|at|in|near) (?:line|position|char|character|column|row|offset)\b"
    r"|\b(?:query|request|job|task|execution|process|response|message|file|input|you|user|account)\b[^\n]{0,40}\bexceeded\b[^\n]{0,30}\b(?:limit|quota|timeout|maximum)\b"
    r"|^['\"`]?\w[^\n.:]{0,40} must (?:not )?be (?:greater|less|positive|negative|non-?negative|unique|one of|in the (?:future|past)|an? (?:valid|string|number|integer|boolean|object|array|list|date)\b)"
    r"|\bblocked by cors policy|\bis not recogni[sz]ed(?: as (?:an? internal|the name)|\W*$)|\bis not a valid \w+\W*$|[.!] failed to \w+|\bsyntax error (?:at|near|in)\b|\bplease (?:provide|specify|supply) a valid\b"
    r"|\bno (?:tool|function|command|module|method|endpoint) (?:named|called|with)\b|\b(?:encountered|raised|threw|thrown|caught) an? (?:\w+ )?(?:error|exception)\b"
    r"|\bexception was (?:raised|thrown)\b|\bfehler (?:ist )?aufgetreten|\berreur (?:\w+ )?est survenue|\b(?:produjo|ocurrió|ocorreu) un?m? err|\bverificato un errore",
    r"произошла ошибка|发生(?:了)?错误|發生錯誤|(?:请求|調用|调用|操作|连接|執行|执行)失败|失败[:：]|エラーが発生|失敗しました|오류가 발생|(?:요청|호출|연결|실행)에? ?실패|^无法|^無法",
)
_SHORT_TEXT = 200
_SHOWN = 600  # a quoted line of source and its stack begin within so many characters
_LONGEST_TRACE = 20_000
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


_ERRORS = _keys(
    "error err errormessage errormsg errmsg errordescription errormessages odataerror exception fault faultstring"
)
_CODES = _keys("errorcode errcode errno exitcode returncode exitstatus retcode")
_HTTP = _keys("status cod statuscode httpstatus httpstatuscode httpcode responsecode")
_STATES = _keys("status state result type outcome resultcode")
# Beside these keys a message is all that was returned.
_ENVELOPE = _ERRORS | _CODES | _HTTP | _STATES | _keys("errors faultcode success ok succeeded iserror message msg detail details reason code data requestid timestamp path title stack traceback"
    " errortype issuccess issuccessful resultmessage type hint suggestion retryable retryafter retry kind apiversion instance documentationurl docs help url statechangereason"
    " requestuid correlationid traceid failurereason errors method level severity category helpurl moreinfo statustext statuscodetext")  # fmt: skip
_WRAPPERS = _keys(
    "result output response content toolresult data body text returnvalue value stderr meta responsemetadata"
)
# A list of one object with one of these is an error in a list.
_TELLING = frozenset(("error", "errorcode", "errormessage"))
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


@cache
def _hinted() -> PatternSet:
    return PatternSet(_HINTED)


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
        if first in ("error", "Error", "ERROR") and len(result) == 2 and isinstance(result[1], str):
            return result[1][:200]
        if isinstance(first, dict) and len(result) == 1 and {_plain(k) for k in first} & _TELLING:
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
    if (short and _in_short().ids(text)) or (
        _hinted().ids(head) and (_OPENING.match(head) or _SHELL.match(head))
    ):
        return head[:200]
    return _died(text)


def _died(text: str) -> str | None:
    """The last words of a program that printed something and then fell."""
    if "\n" not in text:
        return None
    if any(map(text[:_SHOWN].__contains__, _BELOW)) and _STACK.search(text, 0, _SHOWN):
        return text[:200]
    at = text.rfind(_TRACEBACK)
    if at < 0 or len(text) - at > _LONGEST_TRACE:
        return None
    trace = text[at:].rstrip().split("\n")
    if not all(line[:1] in ("", " ", "\t") for line in trace[1:-1]):
        return None
    return trace[-1][:200] if _LAST_LINE.fullmatch(trace[-1]) else None


def _plain(key: str) -> str:
    return key.replace("_", "").replace("-", "").replace(".", "").replace(" ", "").lower()


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
        any(named.get(k) is True for k in ("iserror", "haserror", "haserrors", "errors"))
        or named.get("failed") is True
        or (isinstance(named.get("errors"), list) and named["errors"] != [] and _none_done(named))
        or any(
            k in named and named[k] in (False, "false", "False")
            for k in ("success", "ok", "succeeded", "issuccess", "issuccessful")
        )
        or any(_number(named.get(k)) not in (None, 0) for k in _CODES)
        or any(400 <= (_number(named.get(k)) or 0) < 600 for k in (_HTTP | {"code"} if bare else _HTTP))
        or "error" in states
        or (bare and any(state in _FAILED for state in states))
        or any(str(named.get(k, "")).endswith(("Exception", "Error")) for k in ("type", "errortype"))
        or (_number(own := named.get("errorcode")) is None and _says(own) is not None)
        or (bare and isinstance(code, str) and "message" in named and _CODE.search(code) is not None)
    )


def _none_done(named: dict[str, Any]) -> bool:
    """Whether, beside the errors listed, counts alone came back and none of them counts a success."""
    others = [v for k, v in named.items() if k not in ("errors", "failed", "total", "skipped")]
    counted = "failed" in named and named["failed"] not in (0, False, None)
    return counted and all(v is None or v is False or v == 0 or v in ("", [], {}) for v in others)


def _of_object(fields: dict[str, Any], depth: int) -> str | None:
    named = {_plain(key): value for key, value in fields.items()}
    bare = named.keys() <= _ENVELOPE
    told = next((said for k in _ERRORS if (said := _says(named.get(k))) is not None), None)
    if told is None and bare and isinstance(named.get("errors"), list | dict):
        told = _says(named["errors"])
    if told is None and bare and isinstance(listed := named.get("detail"), list) and listed:
        # As FastAPI and pydantic list what is wrong with a request.
        told = next(
            (str(i["msg"]) for i in listed if isinstance(i, dict) and i.keys() >= {"loc", "msg"}), None
        )  # pyright: ignore
    if told is not None or _flagged(named, bare):
        return str(told or next((v for k in _MESSAGES if (v := named.get(k))), "the result says error"))[:200]
    said = next((v for k in ("message", "detail", "msg") if isinstance(v := named.get(k), str)), None)
    if bare and said is not None:
        return _of_text(said, depth + 1)
    only = cast("dict[str, Any]", next(iter(named.values()))) if len(named) == 1 else None
    if isinstance(only, dict) and [k for k, v in only.items() if v] == ["error"]:
        # One answer under its own name, with nothing in it but what went wrong.
        return _of_object(only, depth)
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
