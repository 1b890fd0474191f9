"""Charts: one Vega-Lite theme, drawn on the server for pages, alerts and reports alike; tiny ones as inline SVG."""
