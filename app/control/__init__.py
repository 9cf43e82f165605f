"""Rules for people, keys, limits, prices and reports, shared by the administration API, the console and background work."""
