"""The HTTP gateway, asked over loopback by a real client; tokens in a real Postgres."""
