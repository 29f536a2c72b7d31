# SPDX-License-Identifier: MIT
# git: a history with branches and merges, cloned, repacked and checked.
case $1 in
needs) echo git ;;
seen) echo git ;;
prepare) ;;
work)
	HOME=$PWD
	GIT_CONFIG_NOSYSTEM=1
	GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@example.org
	GIT_COMMITTER_NAME=A GIT_COMMITTER_EMAIL=a@example.org
	export HOME GIT_CONFIG_NOSYSTEM GIT_AUTHOR_NAME GIT_AUTHOR_EMAIL
	export GIT_COMMITTER_NAME GIT_COMMITTER_EMAIL
	set -e
	git init -q -b main repo
	cd repo
	n=0
	while [ $n -lt 40 ]; do
		GIT_AUTHOR_DATE="2020-01-01T00:00:$((10 + n)) +0000"
		GIT_COMMITTER_DATE=$GIT_AUTHOR_DATE
		export GIT_AUTHOR_DATE GIT_COMMITTER_DATE
		mkdir -p "dir$((n % 7))"
		seq 1 $((n * 200 + 10)) >"dir$((n % 7))/file$n"
		seq $n 3000 >changing
		git add .
		git commit -q -m "commit $n"
		n=$((n + 1))
	done
	git checkout -q -b side HEAD~20
	seq 5 9 >side
	git add side
	git commit -q -m side
	git checkout -q main
	git merge -q -m merged side
	git gc -q --aggressive --prune=now
	cd ..
	git clone -q --no-local repo copy
	git -C copy fsck --full --strict
	git -C copy log --stat | cksum
	git -C copy rev-list --objects --all | sort | cksum
	git -C copy blame changing | tail -n 3
	git -C copy grep -c 42 | sort
	git -C copy diff HEAD~30 | cksum
	git -C copy archive HEAD >out/archive.tar
	;;
esac
