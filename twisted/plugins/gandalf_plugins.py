"""What twistd finds: the three programs."""

from twisted.application.service import ServiceMaker

aggregator = ServiceMaker(
    "Gandalf aggregator", "gandalf.aggregator.tap", "A message router of a tenant.", "gandalf-aggregator"
)
cluster = ServiceMaker("Gandalf cluster member", "gandalf.cluster.tap", "A member of a cluster.", "gandalf-cluster")
connector = ServiceMaker("Gandalf connectors", "gandalf.connector.tap", "Runs connectors.", "gandalf-connector")
