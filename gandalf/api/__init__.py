"""The REST interface: Klein applications on the shoset's reactor."""
