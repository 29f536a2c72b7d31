/* SPDX-License-Identifier: MIT */
/*
 * Circular doubly linked lists with the links inside the elements.
 *
 *	head <-> a <-> b <-> c <-> head
 *
 * A list is a node of its own; an empty list points at itself.  All operations
 * take constant time.  Not thread-safe: whoever owns the list locks it.
 */
#ifndef PH_BASE_LIST_H
#define PH_BASE_LIST_H

#include <stdbool.h>

#include "base/compiler.h"

struct list {
	struct list *next;
	struct list *prev;
};

static inline void list_init(struct list *head)
{
	head->next = head;
	head->prev = head;
}

static inline bool list_is_empty(const struct list *head)
{
	return head->next == head;
}

static inline void list_insert_after(struct list *at, struct list *node)
{
	node->prev = at;
	node->next = at->next;
	at->next->prev = node;
	at->next = node;
}

static inline void list_push_front(struct list *head, struct list *node)
{
	list_insert_after(head, node);
}

static inline void list_push_back(struct list *head, struct list *node)
{
	list_insert_after(head->prev, node);
}

/* Leaves the node pointing at itself, so that removing it twice is harmless. */
static inline void list_remove(struct list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_init(node);
}

/* The element that contains the node. */
#define ph_list_entry(node, type, member) ph_container_of(node, type, member)

#define ph_list_for_each(it, head)                                             \
	for (struct list *it = (head)->next; it != (head); it = it->next)

/* As above, but the current node may be removed inside the loop. */
#define ph_list_for_each_safe(it, tmp, head)                                   \
	for (struct list *it = (head)->next, *tmp = it->next; it != (head);    \
	     it = tmp, tmp = it->next)

#endif
