"""What command line, administration API and console share: the rules for people, keys, limits, prices and reports."""
