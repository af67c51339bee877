"""RabbitMQ of a plant: its configuration, users and topology."""
