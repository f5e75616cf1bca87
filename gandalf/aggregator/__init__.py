"""The aggregator: the service that stands between a tenant's connectors and the cluster."""
