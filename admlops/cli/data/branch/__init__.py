"""Open branches by the rules, and find those that nobody works on."""
