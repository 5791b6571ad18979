"""``python -m users_server`` is ``users-server``."""

from users_server.cli import main

if __name__ == "__main__":
    main(prog_name="users-server")
