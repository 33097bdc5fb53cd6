// Collections, strings, threads, and what the Java machine takes from malloc: direct buffers, zlib, many threads.
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.zip.CRC32;
import java.util.zip.Deflater;
import java.util.zip.Inflater;

public class Objects {
	static long work(int seed) throws Exception {
		Random random = new Random(seed);
		CRC32 sum = new CRC32();
		TreeMap<String, List<Integer>> records = new TreeMap<>();
		for (int i = 0; i < 200000; i++) {
			String key = "key" + random.nextInt(20000);
			records.computeIfAbsent(key, ignored -> new ArrayList<>()).add(i);
			if (random.nextInt(10) == 0) records.remove(key);
		}
		sum.update(records.toString().getBytes("UTF-8"));
		for (int i = 0; i < 500; i++) {
			byte[] data = new byte[1 + random.nextInt(100000)];
			for (int n = 0; n < data.length; n++) data[n] = (byte) (n * seed >> 5);
			Deflater deflater = new Deflater(1 + i % 6);
			deflater.setInput(data);
			deflater.finish();
			byte[] packed = new byte[data.length + 100];
			int length = deflater.deflate(packed);
			deflater.end();
			Inflater inflater = new Inflater();
			inflater.setInput(packed, 0, length);
			byte[] back = new byte[data.length];
			inflater.inflate(back);
			inflater.end();
			if (!java.util.Arrays.equals(data, back)) throw new IllegalStateException("zlib changed the data");
			ByteBuffer direct = ByteBuffer.allocateDirect(data.length);
			direct.put(packed, 0, Math.min(length, data.length)).flip();
			sum.update(direct);
		}
		return sum.getValue();
	}

	public static void main(String[] arguments) throws Exception {
		ExecutorService pool = Executors.newFixedThreadPool(4);
		List<Future<Long>> results = new ArrayList<>();
		for (int seed = 1; seed <= 8; seed++) {
			final int mine = seed;
			results.add(pool.submit((Callable<Long>) () -> work(mine)));
		}
		for (Future<Long> result : results) System.out.println(result.get());
		pool.shutdown();
		int count = 0;
		for (int i = 0; i < 1000; i++) {
			Thread thread = new Thread(() -> new StringBuilder().append(Thread.currentThread().getName()).reverse());
			thread.start();
			thread.join();
			count++;
		}
		System.out.println("threads " + count);
	}
}
