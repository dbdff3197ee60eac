"""Recipes of the weights the package ships: what they learn from, and how."""
