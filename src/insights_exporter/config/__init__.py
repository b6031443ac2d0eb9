"""Configuration: settings, loading from exporter.yaml and the environment, and a dump without secrets."""
