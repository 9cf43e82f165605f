"""The fault run: a steady load for half an hour, and a fault every few seconds."""
