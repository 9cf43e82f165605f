"""Rules for people, keys, limits, prices and reports, shared by the API, the command line and background work."""
