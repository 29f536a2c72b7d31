# SPDX-License-Identifier: MIT
#
# The libraries.
#
#   pageheap                  libpageheap.so, exports ph_* only
#   pageheap_static           libpageheap.a
#   pageheap_malloc_shared    libpageheap-malloc.so, the drop-in malloc
#   pageheap_malloc           what to link to get it: the drop-in, kept even
#                             by linkers that drop libraries not called
#   pageheap_malloc_internal  the drop-in as an archive, for unit tests
#   pageheap_malloc_object    pageheap-malloc.o, for static override
#
# Aliases: pageheap::pageheap, pageheap::pageheap_static, pageheap::malloc.

# Compiles the layers once, as position-independent objects.
function(ph_add_objects target)
	add_library(${target} OBJECT ${ARGN})
	ph_target_flags(${target})
	set_target_properties(${target} PROPERTIES
		POSITION_INDEPENDENT_CODE ON
		C_VISIBILITY_PRESET hidden)
	target_include_directories(${target} PRIVATE
		"${PROJECT_SOURCE_DIR}/src" "${PROJECT_SOURCE_DIR}/include")
	target_compile_options(${target} PRIVATE
		-fno-plt -fno-semantic-interposition)
	target_link_libraries(${target} PRIVATE Threads::Threads)
endfunction()

# nodelete: a thread that ends after dlclose() would call a destructor that is
# no longer there.
function(ph_shared_properties target map)
	set_target_properties(${target} PROPERTIES
		VERSION ${PROJECT_VERSION}
		SOVERSION ${PROJECT_VERSION_MAJOR}
		LINK_DEPENDS "${map}")
	target_link_options(${target} PRIVATE
		"LINKER:--version-script=${map}"
		LINKER:-z,nodelete LINKER:-z,relro LINKER:-z,now)
	# A sanitizer's runtime is in the program, not in the library.
	if(NOT PH_SANITIZE AND NOT PH_FUZZ)
		target_link_options(${target} PRIVATE LINKER:-z,defs)
	endif()
	target_link_libraries(${target} PRIVATE Threads::Threads
		$<BUILD_INTERFACE:ph_instrument>)
endfunction()

function(ph_public_headers target)
	target_include_directories(${target} PUBLIC
		"$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>"
		"$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>")
endfunction()

function(ph_add_library)
	ph_add_objects(pageheap_objects ${PH_SOURCES})

	add_library(pageheap SHARED $<TARGET_OBJECTS:pageheap_objects>)
	ph_shared_properties(pageheap "${PROJECT_SOURCE_DIR}/src/pageheap.map")
	ph_public_headers(pageheap)

	add_library(pageheap_static STATIC $<TARGET_OBJECTS:pageheap_objects>)
	set_target_properties(pageheap_static PROPERTIES OUTPUT_NAME pageheap)
	ph_public_headers(pageheap_static)
	target_link_libraries(pageheap_static PUBLIC Threads::Threads
		PRIVATE $<BUILD_INTERFACE:ph_instrument>)

	set_target_properties(pageheap pageheap_static PROPERTIES
		LINKER_LANGUAGE C)
	add_library(pageheap::pageheap ALIAS pageheap)
	add_library(pageheap::pageheap_static ALIAS pageheap_static)
endfunction()

# The drop-in compiles every layer again with PH_DROPIN, so that hot paths may
# know that there is one heap, and without the compiler's knowledge of malloc,
# which would turn malloc + memset inside calloc into a call of calloc.
function(ph_add_dropin)
	ph_add_objects(pageheap_malloc_objects
		${PH_SOURCES} ${PH_MALLOC_SOURCES})
	target_compile_definitions(pageheap_malloc_objects PRIVATE PH_DROPIN)
	target_compile_options(pageheap_malloc_objects PRIVATE
		-ftls-model=initial-exec -fno-builtin-malloc
		-fno-builtin-calloc -fno-builtin-realloc -fno-builtin-free
		-fno-builtin-aligned_alloc -fno-builtin-posix_memalign
		-fno-builtin-memalign)
	# operator new throws; the exception passes through these frames.
	set_source_files_properties(${PH_MALLOC_SOURCES} PROPERTIES
		COMPILE_OPTIONS -fexceptions)

	add_library(pageheap_malloc_shared SHARED
		$<TARGET_OBJECTS:pageheap_malloc_objects>)
	ph_shared_properties(pageheap_malloc_shared
		"${PROJECT_SOURCE_DIR}/src/malloc/pageheap-malloc.map")
	set_target_properties(pageheap_malloc_shared PROPERTIES
		OUTPUT_NAME pageheap-malloc
		EXPORT_NAME malloc_shared
		LINKER_LANGUAGE C)
	ph_public_headers(pageheap_malloc_shared)

	# A program may call malloc only through other libraries; it still asked
	# for this one.
	add_library(pageheap_malloc INTERFACE)
	set_target_properties(pageheap_malloc PROPERTIES EXPORT_NAME malloc)
	target_link_libraries(pageheap_malloc INTERFACE
		"-Wl,--push-state,--no-as-needed" pageheap_malloc_shared
		"-Wl,--pop-state")
	add_library(pageheap::malloc ALIAS pageheap_malloc)

	add_library(pageheap_malloc_internal STATIC EXCLUDE_FROM_ALL
		$<TARGET_OBJECTS:pageheap_malloc_objects>)
	set_target_properties(pageheap_malloc_internal PROPERTIES
		LINKER_LANGUAGE C
		ARCHIVE_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/internal")
	ph_public_headers(pageheap_malloc_internal)
	target_link_libraries(pageheap_malloc_internal PUBLIC Threads::Threads)

	# One object whose internal names cannot clash with the program's.
	if(PH_SANITIZE OR PH_FUZZ OR PH_COVERAGE)
		return()
	endif()
	set(object "${CMAKE_ARCHIVE_OUTPUT_DIRECTORY}/pageheap-malloc.o")
	if(NOT CMAKE_ARCHIVE_OUTPUT_DIRECTORY)
		set(object "${CMAKE_CURRENT_BINARY_DIR}/pageheap-malloc.o")
	endif()
	add_custom_command(OUTPUT "${object}"
		COMMAND ${CMAKE_LINKER} -r -o "${object}"
			$<TARGET_OBJECTS:pageheap_malloc_objects>
		COMMAND ${CMAKE_OBJCOPY} --localize-hidden "${object}"
		DEPENDS pageheap_malloc_objects
			$<TARGET_OBJECTS:pageheap_malloc_objects>
		COMMAND_EXPAND_LISTS VERBATIM
		COMMENT "Linking pageheap-malloc.o")
	add_custom_target(pageheap_malloc_object ALL DEPENDS "${object}")
	set(PH_MALLOC_OBJECT "${object}" PARENT_SCOPE)
endfunction()
