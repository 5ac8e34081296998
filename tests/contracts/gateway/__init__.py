"""What a client may count on at the door, whoever keeps it: the gateway, or Envoy with the same route table."""
