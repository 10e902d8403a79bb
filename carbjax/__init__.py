"""Who is responsible for which grams of CO2e in LLM serving.

The public names stand in `__init__.pyi`; each is imported when it is first used, so
that `import carbjax` and `carbjax --help` are quick.
"""

import lazy_loader

from carbjax._version import __version__ as __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
