"""The fault laboratory's own logic: what it schedules, what it does to bytes, and what it finds in a history."""
