/* hash.c - a chained hash table that grows, is searched, thinned out and torn down.
 *
 * Purpose: the commonest structure of real programs. Access: text keys and small values, each a
 * block, in entries of one block; the bucket array doubles as it grows; searches that hit and
 * miss; every second key removed and others put in; tear-down in bucket order, which is random
 * in memory. Punishes: scattered small blocks, slow large arrays, and frees far from the
 * allocations' order. */
#include "workload.h"

struct entry {
	struct entry *next;
	uint64_t hash;
	char *key;
	uint64_t *value;
};

struct table {
	struct entry **buckets;
	size_t capacity, count;
};

static uint64_t hash_of(const char *key)
{
	uint64_t hash = UINT64_C(14695981039346656037);
	for (; *key != 0; key++)
		hash = (hash ^ (unsigned char)*key) * UINT64_C(1099511628211);
	return hash ^ hash >> 29;
}

static struct entry **table_find(struct table *table, const char *key, uint64_t hash)
{
	struct entry **place = &table->buckets[hash & (table->capacity - 1)];
	while (*place != NULL && ((*place)->hash != hash || strcmp((*place)->key, key) != 0))
		place = &(*place)->next;
	return place;
}

static void table_grow(struct table *table)
{
	size_t capacity = table->capacity * 2;
	struct entry **buckets = calloc(capacity, sizeof(struct entry *));
	require(buckets != NULL, "out of memory");
	for (size_t i = 0; i < table->capacity; i++) {
		while (table->buckets[i] != NULL) {
			struct entry *entry = table->buckets[i];
			table->buckets[i] = entry->next;
			entry->next = buckets[entry->hash & (capacity - 1)];
			buckets[entry->hash & (capacity - 1)] = entry;
		}
	}
	free(table->buckets);
	table->buckets = buckets;
	table->capacity = capacity;
}

static void table_put(struct table *table, const char *key, uint64_t value)
{
	uint64_t hash = hash_of(key);
	struct entry **place = table_find(table, key, hash);
	require(*place == NULL, "every key is new");
	struct entry *entry = malloc(sizeof *entry);
	require(entry != NULL, "out of memory");
	*entry = (struct entry){ .hash = hash, .key = strdup(key), .value = malloc(sizeof value) };
	require(entry->key != NULL && entry->value != NULL, "out of memory");
	*entry->value = value;
	*place = entry;
	if (++table->count > table->capacity)
		table_grow(table);
}

static uint64_t table_remove(struct table *table, struct entry **place)
{
	struct entry *entry = *place;
	uint64_t value = *entry->value;
	*place = entry->next;
	free(entry->value);
	free(entry->key);
	free(entry);
	table->count--;
	return value;
}

static void key_of(char *key, size_t size, size_t number)
{
	/* Every eighth key is long, as paths and addresses are. */
	snprintf(
		key, size, number % 8 ? "key-%zu" : "/a/rather/longer/path/of/the/kind/that/keys/are/%zu", number);
}

int main(int argc, char **argv)
{
	size_t keys = scaled(argc, argv, 1, 450000);
	struct table table = { calloc(8, sizeof(struct entry *)), 8, 0 };
	char key[96];
	uint64_t sum = 0;

	require(table.buckets != NULL, "out of memory");
	for (size_t i = 0; i < keys; i++) {
		key_of(key, sizeof key, i);
		table_put(&table, key, i);
	}
	for (size_t i = 0; i < keys; i++) {
		key_of(key, sizeof key, i * 2);
		struct entry *found = *table_find(&table, key, hash_of(key));
		require((found != NULL) == (i * 2 < keys), "a key is lost or invented");
		sum = sum * 31 + (found != NULL ? *found->value : 1);
	}
	for (size_t i = 0; i < keys; i += 2) {
		key_of(key, sizeof key, i);
		sum += table_remove(&table, table_find(&table, key, hash_of(key)));
		key_of(key, sizeof key, keys + i);
		table_put(&table, key, i);
	}
	for (size_t i = 0; i < table.capacity; i++)
		while (table.buckets[i] != NULL)
			sum += table_remove(&table, &table.buckets[i]);
	require(table.count == 0, "the table is empty");
	free(table.buckets);
	finish(sum);
}
