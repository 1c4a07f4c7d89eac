"""How text is searched: in any case, in any script, the same on every database."""

import unicodedata


def folded(*texts: str | None) -> str:
    """The texts as they are searched: compatibility-composed and without case (Unicode's NFKC_Casefold, nearly)."""
    composed = unicodedata.normalize("NFKC", " ".join(text for text in texts if text))
    return unicodedata.normalize("NFKC", composed.casefold())


def words(q: str | None) -> list[str]:
    """The words of a search, folded. Each of them must be in a text for the text to be found."""
    return folded(q).split()
