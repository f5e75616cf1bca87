"""The routing rules (protocol.md 6), as logic over frames and links, and the routers that run them."""
