"""Where records come from and go: Kafka, and a broker in memory for tests."""
