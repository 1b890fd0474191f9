"""The demo: a support assistant's traffic, a silent regression, and the whole loop that catches it."""
