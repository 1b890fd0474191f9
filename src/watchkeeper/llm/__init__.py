"""The port to language models: `Provider.ask(Prompt) -> Reply`, one file per provider, a shipped fake."""
