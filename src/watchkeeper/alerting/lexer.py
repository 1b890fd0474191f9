"""Words of the condition language, each with its line and column."""

import re
from dataclasses import dataclass

from watchkeeper.alerting.syntax import At, ConditionError

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+)
      | (?P<number>(?:\d+(?:_\d+)*(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?)
      | (?P<word>[A-Za-z_][A-Za-z0-9_:]*)
      | (?P<quoted>"(?:[^"\n]|"")+")
      | (?P<text>'[^'\n]*')
      | (?P<op><=|>=|!=|<>|==|[<>=+\-*/().,%$])""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Token:
    """`kind` is number, word, quoted (a metric name), text, op or end; `glued` means no space before it."""

    kind: str
    text: str
    at: At
    glued: bool = False

    def __str__(self) -> str:
        return "the end of the condition" if self.kind == "end" else f"'{self.text}'"


def tokens(source: str) -> list[Token]:
    """Split `source`; raises ConditionError at a character that begins no word."""
    found: list[Token] = []
    position, line, line_start, glued = 0, 1, 0, False
    while position < len(source):
        at = At(line, position - line_start + 1)
        match = _TOKEN.match(source, position)
        if match is None:
            character = source[position]
            hint = {
                "“": "; use straight quotes",
                "”": "; use straight quotes",
                "≥": "; write >=",
                "≤": "; write <=",
                "&": "; write and",
                "|": "; write or",
                "!": "; write not",
            }
            if character in "'\"":
                raise ConditionError("a quote is opened and never closed", at.line, at.column)
            quoted = "; a name with it is written in double quotes" if character.isalpha() else ""
            raise ConditionError(f"unexpected '{character}'{hint.get(character, quoted)}", at.line, at.column)
        text = match.group()
        if match.lastgroup == "space":
            line += text.count("\n")
            if "\n" in text:
                line_start = position + text.rindex("\n") + 1
            glued = False
        else:
            found.append(Token(str(match.lastgroup), text, at, glued))
            glued = True
        position = match.end()
    found.append(Token("end", "", At(line, position - line_start + 1)))
    return found
