"""What the server does, whoever asks: accounts, logins, tokens, permissions. No Tornado and no database."""
