"""Wire protocols: one folder each, and nothing else names it but the configuration."""
