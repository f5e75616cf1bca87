"""The shoset (protocol.md 5): links between processes, kept across broken connections."""
