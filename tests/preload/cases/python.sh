# SPDX-License-Identifier: MIT
# python3 with every object on malloc: containers, text, threads, processes.
case $1 in
needs) echo python3 ;;
seen) echo python3 ;;
prepare)
	cat >load.py <<'PY'
import array, collections, gc, hashlib, json, os, re, subprocess, sys
import threading, zlib

words = [f"w{i * 7919 % 10007}" for i in range(100000)]
count = collections.Counter(words)
print(count.most_common(3), len(count))
tree = {str(i): [{"k": j, "v": "x" * (j % 50)} for j in range(20)]
        for i in range(2000)}
text = json.dumps(tree, sort_keys=True)
print(len(text), hashlib.sha256(text.encode()).hexdigest())
assert json.loads(text) == tree
print(len(re.findall(r'"k": (\d+)5', text)))
data = bytearray()
for i in range(200000):
    data += i.to_bytes(3, "little")
print(zlib.crc32(zlib.compress(bytes(data))), len(data))
numbers = array.array("d", (i / 7 for i in range(300000)))
print(sum(numbers))
lists = [[j for j in range(i % 100)] for i in range(20000)]
lists.sort(key=lambda l: (-len(l), l))
print(len(lists[0]), len(lists[-1]))

class Node:
    def __init__(self):
        self.me = self

results = []
def work(n):
    nodes = [Node() for _ in range(5000)]
    s = ""
    for i in range(20000):
        s += str(i * n)
    results.append((n, hashlib.md5(s.encode()).hexdigest(), len(nodes)))

threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print(sorted(results))
print(gc.collect() > 0)
for i in range(5):
    pid = os.fork()
    if pid == 0:
        os._exit(len([str(x) for x in range(i * 1000)]) // 1000)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
print(subprocess.run([sys.executable, "-c", "print(sum(range(10**6)))"],
                     capture_output=True, text=True).stdout)
big = 10 ** 20000
print(len(hex(big * big)))
PY
	;;
work)
	PYTHONHASHSEED=0 PYTHONMALLOC=malloc python3 load.py
	;;
esac
