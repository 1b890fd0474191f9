"""Ports to storage: columns (spans, traces, scores, points in ClickHouse) and records (everything transactional)."""
