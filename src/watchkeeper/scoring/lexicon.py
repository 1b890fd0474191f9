"""Word lists that scorers share."""

STOPWORDS: frozenset[str] = frozenset(
    """a about after again all also am an and any are as at be because been before being but by can could did do does
    doing down during each few for from further had has have having he her here hers him his how i i'm if in into is it
    it's its itself just like me more most my no nor not now of off on once only or other our out over own same she so
    some such than that that's the their them then there these they this those through to too under until up us very was
    we were what when where which while who whom why will with would you you're your yours don't didn't isn't won't
    can't i've we've let may might shall should must""".replace("'", "").split()
)
