/* limited.c - allocates under a limit on addresses until it is refused, and prints how much it got. Run by test_limits.py.
 *
 *   limited KIB SIZE    with KIB more of addresses than it has at its start, blocks of SIZE bytes
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Without the C library's streams, which allocate. */
static size_t virtual_bytes(void)
{
	char text[64] = { 0 };
	int file = open("/proc/self/statm", O_RDONLY);

	if (file < 0 || read(file, text, sizeof text - 1) <= 0)
		exit(2);
	close(file);
	return strtoul(text, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE);
}

int main(int count, char **arguments)
{
	size_t kib = count > 2 ? strtoul(arguments[1], NULL, 10) : 1024;
	size_t size = count > 2 ? strtoul(arguments[2], NULL, 10) : 100;
	struct rlimit limit = { virtual_bytes() + kib * 1024, RLIM_INFINITY };
	size_t got = 0;
	char text[32];
	void *block;

	if (setrlimit(RLIMIT_AS, &limit) != 0)
		return 2;
	while ((block = malloc(size)) != NULL) {
		memset(block, 1, size);
		got += size;
	}
	return write(STDOUT_FILENO, text, (size_t)snprintf(text, sizeof text, "%zu\n", got / 1024)) > 0 ? 0 : 2;
}
