"""Pure functions and data classes: no I/O, no framework, no clock."""
