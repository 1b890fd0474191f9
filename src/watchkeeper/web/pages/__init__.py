"""One module a page: from services and a request to a template's context."""
