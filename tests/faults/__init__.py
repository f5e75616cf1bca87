"""The fault laboratory: a real network, generated load, faults on a seeded schedule, and a checked history."""
