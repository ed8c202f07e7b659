"""The renderer behind the lidar sample release: streets as one spinning lidar sees them, with exact labels, in numpy."""
