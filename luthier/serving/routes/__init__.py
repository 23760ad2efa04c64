"""The routes, one file per kind; every one of them goes through the one door."""
