"""Text in a cell of a table that a spreadsheet may open."""

_FORMULAS = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")


def neutral(text: str) -> str:
    """The text so that no spreadsheet runs it as a formula: such text gets a leading apostrophe, also after others, so that taking
    one away gives the text again.

    >>> [neutral(text) for text in ("=1", "'=1", "plain")]
    ["'=1", "''=1", 'plain']
    """
    return f"'{text}" if text.lstrip("'").startswith(_FORMULAS) else text
