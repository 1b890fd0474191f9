"""Server-rendered pages: every page is a URL, every number carries its n, every stored text is shown as text."""
