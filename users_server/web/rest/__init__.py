"""The handlers of the HTTP API, one module for each resource. A handler is a function from a call to an answer."""
