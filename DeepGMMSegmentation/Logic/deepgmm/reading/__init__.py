"""Files of anyone to a study: images, DICOM, masks, contours, and what their labels mean."""
