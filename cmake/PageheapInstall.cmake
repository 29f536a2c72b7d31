# SPDX-License-Identifier: MIT
#
# Headers, libraries, pkg-config files and a CMake package.  Nothing installed
# names the prefix, so that a finished tree may be moved.
include(CMakePackageConfigHelpers)

set(ph_cmake_dir "${CMAKE_INSTALL_LIBDIR}/cmake/pageheap")

set(ph_targets pageheap pageheap_static)
set(ph_pc_files pageheap)
if(TARGET pageheap_malloc)
	list(APPEND ph_targets pageheap_malloc pageheap_malloc_shared)
	list(APPEND ph_pc_files pageheap-malloc)
endif()
install(TARGETS ${ph_targets} EXPORT pageheap-targets
	LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}"
	ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}"
	INCLUDES DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
if(PH_MALLOC_OBJECT)
	install(FILES "${PH_MALLOC_OBJECT}"
		DESTINATION "${CMAKE_INSTALL_LIBDIR}")
endif()
file(GLOB ph_headers CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/include/*.h")
install(FILES ${ph_headers}
	DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")

install(EXPORT pageheap-targets NAMESPACE pageheap::
	DESTINATION "${ph_cmake_dir}")
configure_package_config_file(
	"${PROJECT_SOURCE_DIR}/cmake/pageheap-config.cmake.in"
	"${PROJECT_BINARY_DIR}/cmake/pageheap-config.cmake"
	INSTALL_DESTINATION "${ph_cmake_dir}")
# Before 1.0 a minor version may change the interface.
write_basic_package_version_file(
	"${PROJECT_BINARY_DIR}/cmake/pageheap-config-version.cmake"
	COMPATIBILITY SameMinorVersion)
install(FILES
	"${PROJECT_BINARY_DIR}/cmake/pageheap-config.cmake"
	"${PROJECT_BINARY_DIR}/cmake/pageheap-config-version.cmake"
	DESTINATION "${ph_cmake_dir}")

# pkg-config finds the prefix from where the .pc file lies.
file(RELATIVE_PATH ph_pc_prefix
	"/p/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/p")
string(REGEX REPLACE "/$" "" ph_pc_prefix "${ph_pc_prefix}")
foreach(pc ${ph_pc_files})
	configure_file("${PROJECT_SOURCE_DIR}/cmake/${pc}.pc.in"
		"${PROJECT_BINARY_DIR}/cmake/${pc}.pc" @ONLY)
	install(FILES "${PROJECT_BINARY_DIR}/cmake/${pc}.pc"
		DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
endforeach()

file(GLOB ph_man_pages CONFIGURE_DEPENDS
	"${PROJECT_SOURCE_DIR}/docs/man/*.[1-9]")
foreach(page ${ph_man_pages})
	string(REGEX REPLACE ".*\\." "" section "${page}")
	install(FILES "${page}"
		DESTINATION "${CMAKE_INSTALL_MANDIR}/man${section}")
endforeach()
