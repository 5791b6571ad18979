"""What run.py, soak.py and storm.py are made of. Standard library alone; the plot needs matplotlib."""
