"""Today's form of the API, under `/api/v1`."""
