"""The live board, its event stream and the HTTP API, all over one `Backend`."""
