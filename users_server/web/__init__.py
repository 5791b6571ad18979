"""HTTP and WebSocket: the only importer of Tornado."""
