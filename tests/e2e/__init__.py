"""The product as a whole, over real sockets and real services."""
