"""The data plane: one paid request, from admission to its booked end."""
