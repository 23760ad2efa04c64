"""One file per verb: a plain function from recipe or run to a result; the command line and Python call the same."""
