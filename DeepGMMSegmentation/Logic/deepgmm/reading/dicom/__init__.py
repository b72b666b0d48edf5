"""A folder of DICOM files as the stacks of one cardiac examination."""
