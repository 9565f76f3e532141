"""What user code is doing, seen from outside its process with py-spy."""
