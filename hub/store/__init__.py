"""Where readings rest: DuckDB inside the hub, or InfluxDB 1.x, 2.x and 3 beside it."""
