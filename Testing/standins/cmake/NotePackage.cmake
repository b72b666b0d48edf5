# A stand-in for the step that packs an extension; see SlicerConfig.cmake.
file(WRITE ${CMAKE_BINARY_DIR}/packed.txt "${PROJECT_NAME}\n")
