// Maps, strings, buffers, JSON, zlib, hashes and worker threads in node; prints check sums only.
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const zlib = require('zlib');
const crypto = require('crypto');

function generator(seed) {
	return (limit) => {
		seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
		return (seed >> 8) % limit;
	};
}

function work(seed) {
	const random = generator(seed);
	const hash = crypto.createHash('sha256');
	const records = new Map();
	for (let i = 0; i < 200000; i++) {
		const key = 'key' + random(50000);
		if (random(4) === 0) records.delete(key);
		else records.set(key, { i, text: 'x'.repeat(random(60)), list: [i, i * 2, i * 3] });
	}
	const text = JSON.stringify([...records].sort(([a], [b]) => (a < b ? -1 : 1)));
	hash.update(text);
	hash.update(JSON.stringify(JSON.parse(text).reverse()));
	for (let i = 0; i < 300; i++) {
		const buffer = Buffer.alloc(1 + random(300000), 'hakmem' + i);
		const packed = zlib.deflateSync(buffer, { level: 1 + (i % 6) });
		if (!zlib.inflateSync(packed).equals(buffer)) throw new Error('zlib changed the data');
		hash.update(packed);
	}
	return hash.digest('hex');
}

if (isMainThread) {
	const run = (seed) => new Promise((resolve, reject) => {
		const worker = new Worker(__filename, { workerData: seed });
		worker.on('message', resolve);
		worker.on('error', reject);
	});
	(async () => {
		console.log(work(1));
		for (const digest of await Promise.all([2, 3, 4, 5].map(run))) console.log(digest);
	})();
} else {
	parentPort.postMessage(work(workerData));
}
