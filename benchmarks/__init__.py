"""What the gateway costs: measured side by side with a proxy and a direct connection, never asserted."""
