"""The package that APP_MODULE in .s2i/environment points into."""
