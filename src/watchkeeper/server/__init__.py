"""The HTTP and gRPC surface: routes with declared permissions, access, OTLP receivers, the JSON API."""
