# A stand-in for what an installed or built Slicer gives to `find_package(Slicer)`: it checks the
# arguments as Slicer's macros do, and notes them in files for a test to read. It builds nothing.
set(Slicer_FOUND TRUE)
set(Slicer_USE_FILE ${CMAKE_CURRENT_LIST_DIR}/UseSlicer.cmake)
set(Slicer_EXTENSION_GENERATE_CONFIG ${CMAKE_CURRENT_LIST_DIR}/NoteMetadata.cmake)
set(Slicer_EXTENSION_CPACK ${CMAKE_CURRENT_LIST_DIR}/NotePackage.cmake)
