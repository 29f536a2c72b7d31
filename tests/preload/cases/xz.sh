# SPDX-License-Identifier: MIT
# xz -T2: the compressed files must be the same, and expand to the input.
case $1 in
needs) echo xz awk ;;
seen) echo xz ;;
prepare)
	awk 'BEGIN { for (i = 0; i < 120000; i++) print i * i % 100003, i % 7, "line", i }' >text
	;;
work)
	set -e
	xz -T2 -6 --block-size=512KiB -k -c text >out/text.xz
	xz -T1 -3 -k -c text >out/text9.xz
	xz -t -T2 out/text.xz
	xz -d -c -T2 out/text.xz | cmp - text
	xz -l out/text.xz
	;;
esac
