"""RFC 6455: two doors for handshakes, one parser for frames, over a plain socket or, with TLS, Tornado's stream."""
