"""Stand-ins for what Slicer's desktop application has and `slicer-core` has not.

Real here: MRML, its logics and `slicer.util` (slicer-core), Qt (PySide6). Stood in for: PythonQt's
manners, CTK's and Slicer's widgets, the application, its modules and views, the module base
classes, `parameterNodeWrapper`, `i18n`, `packaging`, Sample Data. Their members are held to the
true ones by `Testing/panel/test_standins.py`; nothing here is part of Slicer.
"""

from .install import install

__all__ = ["install"]
