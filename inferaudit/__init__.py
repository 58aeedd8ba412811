"""inferaudit: may this inference service go live?"""

__version__ = "0.1.0"
