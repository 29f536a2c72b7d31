/* SPDX-License-Identifier: MIT */
/*
 * What an ELF file says about how it will be loaded.
 */
#ifndef ELF_FILE_H
#define ELF_FILE_H

#include <stdbool.h>
#include <stdint.h>

enum elf_kind {
	ELF_NONE,    /* no ELF file */
	ELF_FOREIGN, /* of another word size, byte order or processor */
	ELF_STATIC,  /* no program interpreter: nothing is preloaded */
	ELF_DYNAMIC,
	ELF_BROKEN /* its headers contradict the file */
};

struct elf_file {
	enum elf_kind kind;
	uint16_t machine;
	bool wide; /* 64-bit */

	/* The program interpreter (dynamic linker); "" when there is none. */
	char interp[256];

	/* First needed library that is an allocator, or "". */
	char needed_allocator[64];

	/* Allocator functions that the file itself exports, or NULL. */
	const char *own_malloc;	  /* "malloc" */
	const char *own_prefixed; /* "je_malloc" and the like */
};

/*
 * Reads the headers of fd.  `kind` is filled in always, the rest where it
 * applies.  A file that cannot be read is ELF_NONE.
 */
void elf_file_read(int fd, struct elf_file *elf);

#endif
