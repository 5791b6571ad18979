"""What run.py and soak.py are made of. Standard library alone; the plot needs matplotlib."""
