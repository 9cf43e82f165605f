"""The machine that proves the promises about money: random requests, every fault, kills, and a relay that keeps its own bill."""
