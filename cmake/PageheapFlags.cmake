# SPDX-License-Identifier: MIT
#
# ph_target_flags(target): how our own code is compiled.  Everything is
# PRIVATE, so that no flag reaches a program that uses the library.
#
# Sanitizers and coverage change the ABI of every object in a program, hence
# they go to all of our targets through the interface library ph_instrument.

add_library(ph_instrument INTERFACE)
if(PH_SANITIZE)
	string(REPLACE ";" "," ph_sanitizers "${PH_SANITIZE}")
	target_compile_options(ph_instrument INTERFACE
		-fsanitize=${ph_sanitizers} -fno-omit-frame-pointer
		-fno-sanitize-recover=all)
	target_link_options(ph_instrument INTERFACE
		-fsanitize=${ph_sanitizers})
endif()
if(PH_SANITIZE MATCHES "thread" AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
	# gcc warns that ThreadSanitizer does not see fences.  Ours order memory
	# for readers outside the process, which it cannot see either.
	target_compile_options(ph_instrument INTERFACE -Wno-tsan)
endif()
if(PH_FUZZ)
	if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
		message(FATAL_ERROR "PH_FUZZ needs clang (libFuzzer)")
	endif()
	target_compile_options(ph_instrument INTERFACE
		-fsanitize=fuzzer-no-link)
endif()
if(PH_COVERAGE)
	target_compile_options(ph_instrument INTERFACE --coverage)
	target_link_options(ph_instrument INTERFACE --coverage)
endif()

set(PH_WARNINGS -Wall -Wextra -Wpedantic -Wconversion -Wshadow
	-Wstrict-prototypes -Wmissing-prototypes -Wundef -Wvla)
if(CMAKE_C_COMPILER_ID MATCHES "Clang")
	list(APPEND PH_WARNINGS -Wthread-safety)
endif()
if(PH_WERROR)
	list(APPEND PH_WARNINGS -Werror)
endif()

function(ph_target_flags target)
	set_target_properties(${target} PROPERTIES
		C_STANDARD 11
		C_STANDARD_REQUIRED ON
		C_EXTENSIONS ON)
	target_compile_options(${target} PRIVATE ${PH_WARNINGS})
	# Defined empty: a file that spells "#define _GNU_SOURCE" itself then
	# repeats the same definition, which is allowed.
	target_compile_definitions(${target} PRIVATE _GNU_SOURCE=
		$<$<BOOL:${PH_DEBUG}>:PH_DEBUG>)
	# BUILD_INTERFACE keeps the helper out of the exported package.
	target_link_libraries(${target} PRIVATE
		$<BUILD_INTERFACE:ph_instrument>)
endfunction()
