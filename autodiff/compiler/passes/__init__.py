"""What is done to a list of NumPy calls before it becomes code."""
