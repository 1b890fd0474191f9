"""Facts: the nouns of the product as plain data. Standard library and msgspec only."""
