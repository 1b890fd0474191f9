"""Monitoring as code: one YAML file or a folder of them, read strictly, reloaded atomically."""
