"""The wire (protocol.md 2 to 4): frames, envelopes and message bodies. Pure: bytes in, values out."""
