/* tree.c - a search tree built, walked, aged, walked again and torn down.
 *
 * Purpose: where the allocator puts things. Access: random keys go into an unbalanced binary
 * tree whose nodes carry a label of their own allocation; the tree is walked in order several
 * times; subtrees are torn off and their keys put in again; it is walked again and freed bottom
 * up. Punishes: headers and padding that spread the nodes over more cache lines and pages, and
 * reuse that scatters what was allocated together. */
#include "workload.h"

enum {
	WALKS = 4,
	AGEINGS = 6
};

struct node {
	struct node *left, *right;
	uint64_t key;
	char *label;
};

static struct node *tree_insert(struct node **root, uint64_t key)
{
	while (*root != NULL) {
		if ((*root)->key == key)
			return *root;
		root = key < (*root)->key ? &(*root)->left : &(*root)->right;
	}
	size_t length = 10 + key % 23;
	struct node *node = malloc(sizeof *node);
	require(node != NULL, "out of memory");
	*node = (struct node){ .key = key, .label = malloc(length) };
	block_mark(node->label, length, key);
	*root = node;
	return node;
}

static uint64_t tree_walk(const struct node *node)
{
	uint64_t sum = 0;
	for (; node != NULL; node = node->right)
		sum += tree_walk(node->left) + (block_check(node->label, 10 + node->key % 23) ^ node->key >> 7);
	return sum;
}

static size_t tree_free(struct node *node)
{
	if (node == NULL)
		return 0;
	size_t count = 1 + tree_free(node->left) + tree_free(node->right);
	free(node->label);
	free(node);
	return count;
}

int main(int argc, char **argv)
{
	size_t keys = scaled(argc, argv, 1, 350000);
	struct dice dice = { 11 };
	struct node *root = NULL;
	uint64_t sum = 0;

	for (size_t i = 0; i < keys; i++)
		tree_insert(&root, dice_roll(&dice));
	for (int walk = 0; walk < WALKS; walk++)
		sum = sum * 31 + tree_walk(root);
	for (int ageing = 0; ageing < AGEINGS; ageing++) {
		struct node *node = tree_insert(&root, dice_roll(&dice));
		struct node **torn = &root;
		for (int depth = 0; depth < 3 && *torn != NULL; depth++)
			torn = dice_below(&dice, 2) ? &(*torn)->left : &(*torn)->right;
		if (*torn != node) {
			size_t count = tree_free(*torn);
			*torn = NULL;
			for (size_t i = 0; i < count; i++)
				tree_insert(&root, dice_roll(&dice));
			sum += count;
		}
	}
	for (int walk = 0; walk < WALKS; walk++)
		sum = sum * 31 + tree_walk(root);
	sum += tree_free(root);
	finish(sum);
}
