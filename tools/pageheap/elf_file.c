/* SPDX-License-Identifier: MIT */
/*
 * What an ELF file says about how it will be loaded.
 *
 * Three places matter, and every offset in them is somebody else's word:
 *
 *	ELF header -> program headers -> PT_INTERP   which dynamic linker
 *	                              -> PT_DYNAMIC  libraries it needs
 *	           -> section headers -> SHT_DYNSYM  functions it exports
 *
 * The names of needed libraries lie in the string table beside the dynamic
 * symbols, so that one table is read for both.  A file without section headers
 * (they may be stripped) is loaded all the same; then nothing is known about
 * its symbols and libraries, and nothing is said.
 *
 * Only files of the tool's own word size and byte order are read beyond the
 * first bytes: the drop-in beside the tool cannot be loaded into others.
 * Reading goes through pread, not mmap, so that a file that shrinks meanwhile
 * gives a short read and not SIGBUS.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "elf_file.h"
#include "tool.h"

/* No table that is read may be larger: node's string table has 5 MiB. */
#define TABLE_MAX ((size_t)256 << 20)

static const char *const allocator_libraries[] = {
	"libjemalloc",	   "libtcmalloc",  "libmimalloc",
	"libsnmallocshim", "libtbbmalloc", "libhoard",
	"librpmalloc",	   "libscudo",	   "libhardened_malloc"};

static const char *const plain_functions[] = {"malloc", "free"};

static const char *const prefixed_functions[] = {
	"je_malloc", "tc_malloc", "mi_malloc", "rpmalloc", "scalable_malloc"};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Reads exactly nbytes at offset, or returns false. */
static bool read_at(int fd, void *buffer, size_t nbytes, uint64_t offset)
{
	char *out = buffer;

	if (offset > INT64_MAX - nbytes)
		return false;
	while (nbytes > 0) {
		ssize_t n = pread(fd, out, nbytes, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		out += n;
		offset += (uint64_t)n;
		nbytes -= (size_t)n;
	}
	return true;
}

/* A table of the file in fresh memory, NUL behind it; NULL when unreadable. */
static void *read_table(int fd, uint64_t nbytes, uint64_t offset)
{
	if (nbytes == 0 || nbytes > TABLE_MAX)
		return NULL;
	char *table = tool_alloc((size_t)nbytes + 1);
	if (!read_at(fd, table, (size_t)nbytes, offset)) {
		free(table);
		return NULL;
	}
	return table;
}

static const char *find_name(const char *name, const char *const *names,
			     size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(name, names[i]) == 0)
			return names[i];
	return NULL;
}

static void symbols_read(struct elf_file *elf, const ElfW(Sym) * symbols,
			 size_t count, const char *strings, size_t nstrings)
{
	for (size_t i = 0; i < count; i++) {
		if (symbols[i].st_shndx == SHN_UNDEF ||
		    symbols[i].st_name >= nstrings)
			continue;
		const char *name = strings + symbols[i].st_name;
		if (elf->own_malloc == NULL)
			elf->own_malloc = find_name(name, plain_functions,
						    COUNT(plain_functions));
		if (elf->own_prefixed == NULL)
			elf->own_prefixed =
				find_name(name, prefixed_functions,
					  COUNT(prefixed_functions));
	}
}

static void needed_read(struct elf_file *elf, const ElfW(Dyn) * entries,
			size_t count, const char *strings, size_t nstrings)
{
	for (size_t i = 0; i < count && entries[i].d_tag != DT_NULL; i++) {
		if (entries[i].d_tag != DT_NEEDED ||
		    entries[i].d_un.d_val >= nstrings)
			continue;
		const char *name = strings + entries[i].d_un.d_val;
		for (size_t k = 0; k < COUNT(allocator_libraries); k++) {
			const char *known = allocator_libraries[k];
			if (elf->needed_allocator[0] == '\0' &&
			    strncmp(name, known, strlen(known)) == 0)
				strncpy(elf->needed_allocator, name,
					sizeof(elf->needed_allocator) - 1);
		}
	}
}

/* Reads the dynamic symbols, and with their strings the needed libraries. */
static void sections_read(struct elf_file *elf, int fd,
			  const ElfW(Ehdr) * header, const ElfW(Phdr) * dynamic)
{
	if (header->e_shentsize != sizeof(ElfW(Shdr)))
		return;
	ElfW(Shdr) *sections = read_table(
		fd, header->e_shnum * sizeof(ElfW(Shdr)), header->e_shoff);
	if (sections == NULL)
		return;
	for (size_t i = 0; i < header->e_shnum; i++) {
		if (sections[i].sh_type != SHT_DYNSYM ||
		    sections[i].sh_link >= header->e_shnum)
			continue;
		const ElfW(Shdr) *strtab = &sections[sections[i].sh_link];
		char *strings =
			read_table(fd, strtab->sh_size, strtab->sh_offset);
		ElfW(Sym) *symbols = read_table(fd, sections[i].sh_size,
						sections[i].sh_offset);
		ElfW(Dyn) *entries =
			read_table(fd, dynamic->p_filesz, dynamic->p_offset);
		if (strings != NULL && symbols != NULL)
			symbols_read(elf, symbols,
				     sections[i].sh_size / sizeof(*symbols),
				     strings, strtab->sh_size);
		if (strings != NULL && entries != NULL)
			needed_read(elf, entries,
				    dynamic->p_filesz / sizeof(*entries),
				    strings, strtab->sh_size);
		free(strings);
		free(symbols);
		free(entries);
		break;
	}
	free(sections);
}

/* The first program header of a type; p_type PT_NULL when there is none. */
static ElfW(Phdr) segment_find(int fd, const ElfW(Ehdr) * header, uint32_t type)
{
	ElfW(Phdr) segment;

	for (size_t i = 0; i < header->e_phnum; i++) {
		uint64_t offset = header->e_phoff + i * sizeof(segment);
		if (!read_at(fd, &segment, sizeof(segment), offset))
			break;
		if (segment.p_type == type)
			return segment;
	}
	memset(&segment, 0, sizeof(segment));
	return segment;
}

static enum elf_kind program_read(struct elf_file *elf, int fd,
				  const ElfW(Ehdr) * header)
{
	if (header->e_type != ET_EXEC && header->e_type != ET_DYN)
		return ELF_BROKEN;
	if (header->e_phentsize != sizeof(ElfW(Phdr)))
		return ELF_BROKEN;
	ElfW(Phdr) interp = segment_find(fd, header, PT_INTERP);
	ElfW(Phdr) dynamic = segment_find(fd, header, PT_DYNAMIC);
	if (interp.p_type != PT_INTERP)
		return ELF_STATIC;
	if (interp.p_filesz == 0 || interp.p_filesz > sizeof(elf->interp) ||
	    !read_at(fd, elf->interp, interp.p_filesz, interp.p_offset))
		return ELF_BROKEN;
	elf->interp[sizeof(elf->interp) - 1] = '\0';
	sections_read(elf, fd, header, &dynamic);
	return ELF_DYNAMIC;
}

/* The first bytes, up to e_machine, lie alike in every kind of ELF file. */
struct elf_start {
	unsigned char ident[EI_NIDENT];
	uint16_t type;
	uint16_t machine;
};

/* Whether the file is of the tool's own kind, and so of the drop-in's. */
static bool start_is_ours(const struct elf_start *start)
{
	struct elf_start self;
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return true;
	bool known = read_at(fd, &self, sizeof(self), 0);
	close(fd);
	return !known || (start->ident[EI_CLASS] == self.ident[EI_CLASS] &&
			  start->ident[EI_DATA] == self.ident[EI_DATA] &&
			  start->machine == self.machine);
}

void elf_file_read(int fd, struct elf_file *elf)
{
	struct elf_start start;
	ElfW(Ehdr) header;

	memset(elf, 0, sizeof(*elf));
	if (!read_at(fd, start.ident, EI_NIDENT, 0))
		return;
	if (memcmp(start.ident, ELFMAG, SELFMAG) != 0)
		return;
	elf->kind = ELF_BROKEN;
	elf->wide = start.ident[EI_CLASS] == ELFCLASS64;
	if (!read_at(fd, &start, sizeof(start), 0))
		return;
	elf->machine = start.machine;
	if (!start_is_ours(&start))
		elf->kind = ELF_FOREIGN;
	else if (read_at(fd, &header, sizeof(header), 0))
		elf->kind = program_read(elf, fd, &header);
}
