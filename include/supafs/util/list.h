/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intrusive doubly linked list. The head is a node of its own; an entry that is
 * on no list points at itself. Not thread-safe; no allocation.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "supafs/util/cleanup.h"

struct supafs_list {
	struct supafs_list *prev, *next;
};

static inline void supafs_list_init(struct supafs_list *l)
{
	l->prev = l->next = l;
}

static inline bool supafs_list_empty(const struct supafs_list *l)
{
	return l->next == l;
}

/* Puts `e` behind `at`: behind the head means first. */
static inline void supafs_list_add(struct supafs_list *at, struct supafs_list *e)
{
	e->prev = at;
	e->next = at->next;
	at->next->prev = e;
	at->next = e;
}

static inline void supafs_list_add_tail(struct supafs_list *head, struct supafs_list *e)
{
	supafs_list_add(head->prev, e);
}

/* Safe for an entry that is on no list. */
static inline void supafs_list_remove(struct supafs_list *e)
{
	e->prev->next = e->next;
	e->next->prev = e->prev;
	supafs_list_init(e);
}

#define supafs_list_entry(ptr, type, member) supafs_container_of(ptr, type, member)

/* The names of loop variables cannot stand in parentheses. */
/* NOLINTBEGIN(bugprone-macro-parentheses) */
#define supafs_list_for_each(it, head)                                                             \
	for (struct supafs_list *it = (head)->next; it != (head); it = it->next)

/* `it` may be removed (and freed) in the body. */
#define supafs_list_for_each_safe(it, nxt, head)                                                   \
	for (struct supafs_list *it = (head)->next, *nxt = it->next; it != (head);                 \
		it = nxt, nxt = it->next)
/* NOLINTEND(bugprone-macro-parentheses) */
