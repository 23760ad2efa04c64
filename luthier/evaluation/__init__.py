"""Who is better on rows that nothing has seen, how sure that is, and the page that says so."""
