# SPDX-License-Identifier: MIT
#
# Cross-compiles for AArch64 with Debian's compiler, against the libraries that
# scripts/aarch64-sysroot unpacked, and runs the tests under qemu-user.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)

set(triplet aarch64-linux-gnu)
get_filename_component(sysroot
	"${CMAKE_CURRENT_LIST_DIR}/../build/aarch64-sysroot" ABSOLUTE)

set(CMAKE_C_COMPILER ${triplet}-gcc)
set(CMAKE_CXX_COMPILER ${triplet}-g++)
# The C library is where libc6-dev-arm64-cross puts it; the others (Check,
# zlib) are found in the unpacked packages.
set(CMAKE_FIND_ROOT_PATH "${sysroot}" "/usr/${triplet}")
set(CMAKE_LIBRARY_ARCHITECTURE ${triplet})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)

set(ENV{PKG_CONFIG_LIBDIR} "${sysroot}/usr/lib/${triplet}/pkgconfig")
set(ENV{PKG_CONFIG_PATH} "")
set(ENV{PKG_CONFIG_SYSROOT_DIR} "${sysroot}")

set(CMAKE_CROSSCOMPILING_EMULATOR
	"qemu-aarch64-static;-L;/usr/${triplet};-E;LD_LIBRARY_PATH=${sysroot}/usr/lib/${triplet}:${sysroot}/lib/${triplet}")
