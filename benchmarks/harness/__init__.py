"""
What the programs beside this folder are made of.

Standard library alone; the plot needs matplotlib, and channels.py is run by the Python that has users_server.
"""
