# SPDX-License-Identifier: MIT
# gcc -O1 on a large C file: the object files must be the same, byte by byte.
case $1 in
needs) echo gcc awk ;;
seen) echo cc1 as gcc ;;
prepare)
	awk 'BEGIN {
		print "#include <stdio.h>\n#include <string.h>"
		for (i = 0; i < 400; i++) {
			printf "struct s%d { int a[%d]; struct s%d *next; ", i, i % 17 + 1, i
			printf "union { double d; char c[%d]; } u; };\n", i % 9 + 8
			printf "static int f%d(struct s%d *p, int n)\n{\n\tint r = %d;\n", i, i, i
			printf "\tfor (int k = 0; k < n; k++) {\n\t\tr += p->a[k %% %d] * k;\n", i % 17 + 1
			printf "\t\tif (r %% %d == 0 && p->next)\n\t\t\tp = p->next;\n", i % 7 + 2
			printf "\t\tswitch (r & 7) {\n\t\tcase 1: r ^= %d; break;\n", i * 31
			printf "\t\tcase 3: r += p->u.c[0]; break;\n\t\tdefault: r--;\n\t\t}\n\t}\n"
			printf "\treturn r;\n}\n"
		}
		print "int main(void)\n{\n\tint r = 0;"
		for (i = 0; i < 400; i++) {
			printf "\tstatic struct s%d v%d;\n\tmemset(&v%d, %d, sizeof(v%d.a));\n", i, i, i, i % 3, i
			printf "\tr += f%d(&v%d, %d);\n", i, i, i % 50
		}
		print "\tprintf(\"%d\\n\", r);\n\treturn 0;\n}"
	}' >big.c
	wc -l big.c
	;;
work)
	set -e
	gcc -O1 -g -c big.c -o out/big.o
	gcc -O1 -S big.c -o out/big.s
	gcc out/big.o -o out/big
	out/big
	;;
esac
