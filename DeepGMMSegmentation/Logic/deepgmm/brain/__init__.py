"""Brain MRI: its tissues, volumes, layouts, atlases, phantom and tables.

The mathematics is in `deepgmm.model`; nothing of the heart is used or changed here.
"""
