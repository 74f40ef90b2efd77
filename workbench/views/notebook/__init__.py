"""What notebooks call: a bench on one model, and work that shows itself."""
