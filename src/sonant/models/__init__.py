"""The bundled weights, and how weights of any layout are found, checked and loaded."""
