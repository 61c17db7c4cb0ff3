"""Tables, the IO manager and SQL over them."""
