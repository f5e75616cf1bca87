"""Load generators: prepared frames, raw sockets, processes of their own."""
