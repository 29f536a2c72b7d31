/* SPDX-License-Identifier: MIT */
/*
 * The program that `pageheap run` is asked to run: where it is, and whether
 * the drop-in can be preloaded into it.
 *
 * The dynamic linker ignores LD_PRELOAD without a word in programs that gain
 * privileges, and a static program has no dynamic linker; a report of zeroes
 * would be the only sign.  So the tool looks first, at the file that the
 * kernel will load in the end:
 *
 *	script  --#!-->  interpreter  --#!-->  ...  -->  ELF file
 *	script  --#!-->  env NAME     --PATH-->  NAME -->  ELF file
 *	neither #! nor ELF            -->  /bin/sh, as execvp(3) does
 *
 * What is looked at may change before it is executed.  That is no danger, as
 * nothing here is a permission: the worst case is the report of zeroes again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "target.h"
#include "tool.h"

/* The kernel follows at most five (exec_binprm) and reads so many bytes. */
#define SCRIPT_DEPTH 5
#define SCRIPT_LINE 256

const char *path_base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

/* 0 when path is a file that may be executed, else an errno value. */
static int executable_check(const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return errno;
	if (S_ISDIR(st.st_mode))
		return EISDIR;
	return euidaccess(path, X_OK) == 0 ? 0 : errno;
}

/*
 * Searches PATH, where an empty component is the current directory.  A file
 * that exists but cannot be executed does not end the search, and is the
 * answer only when nothing else is found.
 */
static int path_search(const char *name, char *found)
{
	char standard[64] = "/bin:/usr/bin";
	const char *path = getenv("PATH");
	int error = ENOENT;

	if (path == NULL)
		path = standard;
	for (;;) {
		size_t length = strcspn(path, ":");
		int n = snprintf(found, PATH_MAX, "%.*s%s%s", (int)length, path,
				 length > 0 ? "/" : "", name);
		if (n > 0 && n < PATH_MAX) {
			int e = executable_check(found);
			if (e == 0)
				return 0;
			if (e != ENOENT && e != ENOTDIR && e != EISDIR)
				error = e;
		}
		if (path[length] == '\0')
			return error;
		path += length + 1;
	}
}

int target_find(struct target *target, const char *name)
{
	int error = ENOENT;

	memset(target, 0, sizeof(*target));
	target->name = name;
	if (strchr(name, '/') != NULL) {
		int n = snprintf(target->path, PATH_MAX, "%s", name);
		error = n < PATH_MAX ? executable_check(name) : ENAMETOOLONG;
	} else if (name[0] != '\0') {
		error = path_search(name, target->path);
	}
	if (error == 0)
		return 0;
	tool_say("cannot run '%s': %s", name,
		 error == ENOENT ? "no such program" : strerror(error));
	return error == ENOENT || error == ENOTDIR ? EXIT_NOT_FOUND
						   : EXIT_NOT_EXECUTABLE;
}

/*
 * The program that `env` would run, given its arguments in a script's first
 * line.  Returns NULL when there is none.
 */
static char *env_program(char *arguments)
{
	char *rest = arguments;

	for (char *word; (word = strsep(&rest, " \t")) != NULL;) {
		if (*word == '\0' || strchr(word, '=') != NULL)
			continue;
		/* -SNAME and -S NAME; other options take no argument here. */
		if (strncmp(word, "-S", 2) == 0 && word[2] != '\0')
			return word + 2;
		if (*word != '-')
			return word;
	}
	return NULL;
}

/*
 * Reads the first line of a script and writes the file that is loaded next.
 * Returns false when path is no script.
 */
static bool script_next(const char *path, char *next)
{
	char line[SCRIPT_LINE + 1];
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	ssize_t n = read(fd, line, SCRIPT_LINE);
	close(fd);
	if (n < 2 || line[0] != '#' || line[1] != '!')
		return false;
	line[n] = '\0';
	line[strcspn(line, "\n")] = '\0';

	char *interpreter = line + 2 + strspn(line + 2, " \t");
	char *rest = interpreter + strcspn(interpreter, " \t");
	if (*rest != '\0')
		*rest++ = '\0';
	if (*interpreter == '\0')
		return false;
	if (strcmp(path_base(interpreter), "env") == 0) {
		char *program = env_program(rest);
		if (program != NULL && strchr(program, '/') == NULL &&
		    path_search(program, next) == 0)
			return true;
	}
	snprintf(next, PATH_MAX, "%s", interpreter);
	return true;
}

/* Refuses programs that run with privileges their caller lacks. */
static int privilege_check(const char *name, const char *binary, int fd)
{
	struct stat st;

	if (fstat(fd, &st) != 0) {
		tool_say("cannot read '%s': %s", binary, strerror(errno));
		return EXIT_TOOL;
	}
	const char *what = NULL;
	if (st.st_mode & S_ISUID)
		what = "is set-uid";
	else if ((st.st_mode & S_ISGID) && (st.st_mode & S_IXGRP))
		what = "is set-gid";
	else if (fgetxattr(fd, "security.capability", NULL, 0) > 0)
		what = "has file capabilities";
	if (what == NULL)
		return 0;
	tool_say("refusing '%s': %s %s, and the dynamic linker preloads "
		 "nothing into such programs",
		 name, binary, what);
	return EXIT_TOOL;
}

/* Refuses files into which the drop-in, an ELF file itself, does not fit. */
static int kind_check(const char *name, const char *binary,
		      const struct elf_file *elf)
{
	switch (elf->kind) {
	case ELF_DYNAMIC:
		break;
	case ELF_STATIC:
		/* The dynamic linker itself, run as a command, does preload. */
		if (strncmp(path_base(binary), "ld-linux", 8) == 0 ||
		    strncmp(path_base(binary), "ld.so", 5) == 0)
			break;
		tool_say("refusing '%s': %s is statically linked, so nothing "
			 "can be preloaded into it",
			 name, binary);
		return EXIT_TOOL;
	case ELF_FOREIGN:
		tool_say("refusing '%s': %s is a %s-bit program for another "
			 "architecture (ELF machine %u) than "
			 "libpageheap-malloc.so",
			 name, binary, elf->wide ? "64" : "32",
			 (unsigned)elf->machine);
		return EXIT_TOOL;
	case ELF_BROKEN:
	case ELF_NONE:
		tool_say("refusing '%s': %s is no valid program", name, binary);
		return EXIT_TOOL;
	}
	if (strstr(elf->interp, "ld-musl") != NULL) {
		tool_say("refusing '%s': %s uses another C library (%s) than "
			 "libpageheap-malloc.so",
			 name, binary, elf->interp);
		return EXIT_TOOL;
	}
	return 0;
}

void target_note(const struct target *target)
{
	const struct elf_file *elf = &target->elf;
	const char *base = path_base(target->binary);

	if (elf->own_malloc != NULL)
		tool_say("note: %s carries its own malloc (it exports "
			 "'%s'): its calls stay there and are not counted",
			 base, elf->own_malloc);
	if (elf->own_prefixed != NULL)
		tool_say("note: %s carries its own malloc (it exports "
			 "'%s'): only calls of plain malloc reach pageheap",
			 base, elf->own_prefixed);
	if (elf->needed_allocator[0] != '\0')
		tool_say("note: %s is linked with its own malloc, %s: malloc "
			 "and free go to pageheap instead, functions that "
			 "only %s has stay there",
			 base, elf->needed_allocator, elf->needed_allocator);
	if (strncmp(base, "python", 6) == 0 && getenv("PYTHONMALLOC") == NULL)
		tool_say("note: %s carves small objects out of large blocks "
			 "itself; PYTHONMALLOC=malloc shows them to pageheap",
			 base);
}

static int elf_open(const char *path, struct elf_file *elf)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	memset(elf, 0, sizeof(*elf));
	if (fd >= 0)
		elf_file_read(fd, elf);
	return fd;
}

int target_check(struct target *target)
{
	struct elf_file *elf = &target->elf;
	char next[PATH_MAX];

	snprintf(target->binary, PATH_MAX, "%s", target->path);
	for (int i = 0; i < SCRIPT_DEPTH; i++) {
		if (!script_next(target->binary, next))
			break;
		memcpy(target->binary, next, PATH_MAX);
	}
	int fd = elf_open(target->binary, elf);
	if (fd >= 0 && elf->kind == ELF_NONE) {
		close(fd);
		snprintf(target->binary, PATH_MAX, "/bin/sh");
		fd = elf_open(target->binary, elf);
	}
	if (fd < 0) {
		/* Executable but not readable: nothing can be known. */
		if (errno == EACCES)
			return 0;
		tool_say("cannot run '%s': its interpreter %s: %s",
			 target->name, target->binary, strerror(errno));
		return EXIT_NOT_EXECUTABLE;
	}
	int status = privilege_check(target->name, target->binary, fd);
	if (status == 0)
		status = kind_check(target->name, target->binary, elf);
	close(fd);
	return status;
}
