"""What a person is shown of a cluster, as pure data: one model of the telemetry stream, one file per view of it."""
