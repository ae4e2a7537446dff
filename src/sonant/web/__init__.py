"""What the pages that Sonant serves have in common: a server, a player, a look."""
