"""What runs behind a client: machine, shell with session and loop, and waiting for records to settle."""
