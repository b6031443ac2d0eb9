"""The running exporter: application, runtime of one configuration, and poll loop."""
