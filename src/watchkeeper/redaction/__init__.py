"""Finding personal data and secrets and replacing them with typed placeholders, before anything touches disk.

`find.find` says where they are, `apply.redact_text` and `apply.redact_raw` replace them, `policy.Policy` says which.
"""
