# SPDX-License-Identifier: MIT
# node: buffers, compression, JSON, worker threads and a child process.
case $1 in
needs) echo node ;;
seen) echo node ;;
prepare)
	cat >load.js <<'JS'
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const crypto = require('crypto');
const zlib = require('zlib');
if (!isMainThread) {
	const m = new Map();
	for (let i = 0; i < 50000; i++) m.set('k' + (i * workerData % 5003), Buffer.alloc(i % 200, i));
	const h = crypto.createHash('sha1');
	for (const k of [...m.keys()].sort()) h.update(k).update(m.get(k));
	parentPort.postMessage(h.digest('hex'));
} else {
	const o = {};
	for (let i = 0; i < 50000; i++) o['k' + i] = { v: 'x'.repeat(i % 40), a: [i, i * 2] };
	const text = JSON.stringify(o);
	console.log(text.length, crypto.createHash('sha256').update(text).digest('hex'));
	const packed = zlib.deflateSync(text);
	console.log(zlib.inflateSync(packed).toString() === text, packed.length);
	const buffers = [];
	for (let i = 0; i < 20000; i++) buffers.push(Buffer.from('b'.repeat(i % 1000)));
	console.log(Buffer.concat(buffers).length);
	console.log(require('child_process').execFileSync(process.execPath, ['-p', '6 * 7']).toString());
	Promise.all([3, 5, 7].map((n) => new Promise((ok, bad) =>
		new Worker(__filename, { workerData: n }).on('message', ok).on('error', bad))))
		.then((all) => console.log(all));
}
JS
	;;
work) node load.js ;;
esac
