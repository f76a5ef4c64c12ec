"""The side that faces clients and operators."""
