"""What is measured of them: a module each."""
