"""The API of the Go system, for its clients: paths under /ditrit/Gandalf/1.0.0, whole objects, zeros included."""
