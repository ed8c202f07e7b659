"""Register the kinds of training that get releases of their own."""
