/* Makes threads of messages. */
#include "imapd/imap_thread.h"

#include <stdlib.h>

#include "lib/mem.h"

enum { NONE = UINT32_MAX, STEPS = 64 /* along a chain of parents that count as a unit of work */ };

/* A text in struct imap_threads' texts. */
struct text {
	size_t off, len;
};

struct message {
	uint32_t number;
	bool reply;
	int64_t sent;
	struct text subject;
	size_t ids, n_ids; /* its ids: in imap_threads' ids, from IDS on; the first is its own */
	uint32_t topic;    /* the same for equal subjects; NONE: it is empty */
};

/* An id as it occurs in a message; those that are equal get the same node. */
struct id {
	struct text text; /* of no length: an id that nobody else has */
	uint64_t hash;    /* sorts faster than the text, and nothing depends on how well */
	uint32_t node;
};

/* A node of the tree: a message, or one that is only referred to (a dummy). */
struct node {
	uint32_t message; /* NONE: a dummy */
	uint32_t parent;
	uint32_t n_children;  /* of PARENT's links */
	uint32_t child, next; /* made from PARENT later; first child, next sibling */
};

struct imap_threads {
	enum imap_thread_how how;
	struct str texts;
	struct message *messages;
	size_t n, cap;
	struct id *ids;
	size_t n_ids, cap_ids;
	struct node *nodes;
	size_t n_nodes, cap_nodes;
	struct work *work;
	uint64_t steps;
	bool stopped;
};

struct imap_threads *imap_threads_new(enum imap_thread_how how)
{
	struct imap_threads *t = mem_alloc(sizeof(*t));

	t->how = how;
	return t;
}

void imap_threads_free(struct imap_threads **t)
{
	if (*t == NULL)
		return;
	str_fini(&(*t)->texts);
	mem_free(&(*t)->messages);
	mem_free(&(*t)->ids);
	mem_free(&(*t)->nodes);
	mem_free(t);
}

/* --- adding messages --- */

static uint64_t hash_of(const struct imap_threads *t, struct text text)
{
	const char *p = str_cstr(&t->texts) + text.off;
	uint64_t h = 14695981039346656037U; /* FNV-1a */

	for (size_t i = 0; i < text.len; i++)
		h = (h ^ (unsigned char)p[i]) * 1099511628211U;
	return h;
}

static void add_id(struct imap_threads *t, struct text text)
{
	if (t->n_ids == t->cap_ids) {
		t->cap_ids = t->cap_ids == 0 ? 64 : t->cap_ids * 2;
		t->ids = mem_grow(t->ids, t->cap_ids * sizeof(*t->ids));
	}
	t->ids[t->n_ids++] = (struct id){ text, hash_of(t, text), NONE };
	t->messages[t->n - 1].n_ids++;
}

void imap_threads_add(struct imap_threads *t, uint32_t number, int64_t sent, const struct str *subject, bool reply)
{
	struct message *m;

	if (t->n == t->cap) {
		t->cap = t->cap == 0 ? 64 : t->cap * 2;
		t->messages = mem_grow(t->messages, t->cap * sizeof(*t->messages));
	}
	m = &t->messages[t->n++];
	*m = (struct message){ .number = number, .reply = reply, .sent = sent, .ids = t->n_ids, .topic = NONE };
	m->subject = (struct text){ t->texts.len, subject->len };
	str_add(&t->texts, str_cstr(subject), subject->len);
	add_id(t, (struct text){ 0, 0 });
}

/* Adds the text of an id without quotes, blanks and folds. Length 0: it is none. */
static struct text clean_id(struct imap_threads *t, const char *p, const char *end)
{
	struct text text = { t->texts.len, 0 };
	bool at = false;

	for (; p < end; p++) {
		at |= *p == '@';
		if (*p == '\\' && p + 1 < end)
			str_addc(&t->texts, *++p);
		else if (*p != '"' && *p != ' ' && *p != '\t' && *p != '\r' && *p != '\n')
			str_addc(&t->texts, *p);
	}
	text.len = at ? t->texts.len - text.off : 0;
	return text;
}

/* The next "<...@...>" of *P, which is moved behind it. Length 0: there is no other. */
static struct text next_id(struct imap_threads *t, const char **p, const char *end)
{
	struct text text = { 0, 0 };

	while (text.len == 0 && *p < end) {
		const char *open = memchr(*p, '<', (size_t)(end - *p)), *close = NULL;

		if (open != NULL)
			close = memchr(open, '>', (size_t)(end - open));
		if (close == NULL) {
			*p = end;
			break;
		}
		text = clean_id(t, open + 1, close);
		*p = close + 1;
	}
	return text;
}

/* Drops references of the last message, the oldest of them, beyond the limit. */
static void limit_ids(struct imap_threads *t)
{
	struct message *m = &t->messages[t->n - 1];
	size_t more = m->n_ids > IMAP_THREAD_IDS_MAX ? m->n_ids - IMAP_THREAD_IDS_MAX : 0;
	struct id *refs = t->ids + m->ids + 1;

	if (more == 0)
		return;
	memmove(refs, refs + more, (m->n_ids - 1 - more) * sizeof(*refs));
	m->n_ids -= more;
	t->n_ids -= more;
}

size_t imap_threads_add_ids(struct imap_threads *t, const char *p, size_t len, bool message_id)
{
	const char *end = p + len;
	struct message *m = &t->messages[t->n - 1];
	struct text text;
	size_t n = 0;

	while ((text = next_id(t, &p, end)).len != 0) {
		n++;
		if (message_id) {
			t->ids[m->ids].text = text;
			t->ids[m->ids].hash = hash_of(t, text);
			break;
		}
		add_id(t, text);
	}
	limit_ids(t);
	return n;
}

void imap_threads_add_first_id(struct imap_threads *t, const char *p, size_t len)
{
	struct text text = next_id(t, &p, p + len);

	if (text.len != 0)
		add_id(t, text);
}

/* --- equal texts --- */

static int compare_texts(const struct imap_threads *t, struct text a, struct text b)
{
	int c = memcmp(str_cstr(&t->texts) + a.off, str_cstr(&t->texts) + b.off, MIN(a.len, b.len));

	return c != 0 ? c : (a.len > b.len) - (a.len < b.len);
}

static int by_id(const void *a, const void *b, void *arg)
{
	const struct imap_threads *t = arg;
	uint32_t i = *(const uint32_t *)a, k = *(const uint32_t *)b;
	const struct id *x = &t->ids[i], *y = &t->ids[k];
	int c = x->hash != y->hash ? (x->hash > y->hash) - (x->hash < y->hash) : compare_texts(t, x->text, y->text);

	return c != 0 ? c : (i > k) - (i < k);
}

static int by_subject(const void *a, const void *b, void *arg)
{
	const struct imap_threads *t = arg;
	uint32_t i = *(const uint32_t *)a, k = *(const uint32_t *)b;
	int c = compare_texts(t, t->messages[i].subject, t->messages[k].subject);

	return c != 0 ? c : (i > k) - (i < k);
}

/* The numbers from 0 to N - 1, sorted. Free with mem_free(). */
static uint32_t *sorted(struct imap_threads *t, size_t n, int (*compare)(const void *, const void *, void *))
{
	uint32_t *list = mem_array(n + 1, sizeof(*list));

	for (size_t i = 0; i < n; i++)
		list[i] = (uint32_t)i;
	qsort_r(list, n, sizeof(*list), compare, t);
	return list;
}

/* Sets the topics. */
static void find_topics(struct imap_threads *t)
{
	uint32_t *list = sorted(t, t->n, by_subject), topic = 0;

	for (size_t i = 0; i < t->n; i++) {
		struct message *m = &t->messages[list[i]];

		if (i > 0 && compare_texts(t, m->subject, t->messages[list[i - 1]].subject) != 0)
			topic++;
		m->topic = m->subject.len != 0 ? topic : NONE;
	}
	mem_free(&list);
}

static uint32_t add_node(struct imap_threads *t, uint32_t message)
{
	if (t->n_nodes == t->cap_nodes) {
		t->cap_nodes = t->cap_nodes == 0 ? 64 : t->cap_nodes * 2;
		t->nodes = mem_grow(t->nodes, t->cap_nodes * sizeof(*t->nodes));
	}
	t->nodes[t->n_nodes] = (struct node){ message, NONE, 0, NONE, NONE };
	return (uint32_t)t->n_nodes++;
}

/* Gives equal ids the same node. Sorting takes no more time for ids that a sender has made up. */
static void find_nodes(struct imap_threads *t)
{
	uint32_t *list = sorted(t, t->n_ids, by_id);

	for (size_t i = 0; i < t->n_ids; i++) {
		struct id *id = &t->ids[list[i]];

		if (id->text.len != 0 && i > 0 && compare_texts(t, id->text, t->ids[list[i - 1]].text) == 0)
			id->node = t->ids[list[i - 1]].node;
		else
			id->node = add_node(t, NONE);
	}
	mem_free(&list);
}

/* --- parents (step 1 of REFERENCES) --- */

static void unlink_parent(struct imap_threads *t, uint32_t node)
{
	struct node *n = &t->nodes[node];

	if (n->parent != NONE)
		t->nodes[n->parent].n_children--;
	n->parent = NONE;
}

/* True if NODE is PARENT or above it. */
static bool is_above(struct imap_threads *t, uint32_t node, uint32_t parent)
{
	if (node == parent)
		return true;
	if (t->nodes[node].n_children == 0)
		return false;
	for (; parent != NONE && !t->stopped; parent = t->nodes[parent].parent) {
		if (parent == node)
			return true;
		if (++t->steps % STEPS == 0 && t->work != NULL && !work_do(t->work, 1))
			t->stopped = true;
	}
	return false;
}

static void set_parent(struct imap_threads *t, uint32_t node, uint32_t parent)
{
	if (is_above(t, node, parent))
		return;
	t->nodes[node].parent = parent;
	t->nodes[parent].n_children++;
}

/* Message I's references are each other's parents, and the last is its own, whatever was said of it before. */
static void link_message(struct imap_threads *t, size_t i)
{
	struct message *m = &t->messages[i];
	const struct id *refs = t->ids + m->ids + 1;
	size_t n = m->n_ids - 1;
	uint32_t node = t->ids[m->ids].node;

	if (t->nodes[node].message != NONE)
		node = add_node(t, NONE); /* an earlier message has the same id */
	t->nodes[node].message = (uint32_t)i;
	for (size_t k = 1; k < n; k++)
		if (t->nodes[refs[k].node].parent == NONE)
			set_parent(t, refs[k].node, refs[k - 1].node);
	if (n > 0 && t->nodes[node].parent == refs[n - 1].node)
		return;
	unlink_parent(t, node);
	if (n > 0)
		set_parent(t, node, refs[n - 1].node);
}

/* --- the tree without dummies (steps 2 and 3) --- */

/* The message above NODE; if there is none, the dummy above all others, or NONE. Shortens the way for the next that
 * asks. */
static uint32_t real_parent(struct imap_threads *t, uint32_t node)
{
	uint32_t top = t->nodes[node].parent;

	if (top == NONE)
		return NONE;
	while (t->nodes[top].message == NONE && t->nodes[top].parent != NONE)
		top = t->nodes[top].parent;
	for (uint32_t at = node, next; (next = t->nodes[at].parent) != top; at = next)
		t->nodes[at].parent = top;
	return top;
}

static void add_child(struct imap_threads *t, uint32_t parent, uint32_t node)
{
	t->nodes[node].next = t->nodes[parent].child;
	t->nodes[parent].child = node;
	t->nodes[node].parent = parent;
}

/* Sets children and parents to what is left without dummies; returns the nodes without parents: messages, and dummies
 * with two children or more. */
static uint32_t *prune(struct imap_threads *t, size_t *n_out)
{
	uint32_t *tops, *above = mem_array(t->n_nodes + 1, sizeof(*above));
	size_t n = 0;

	for (uint32_t i = 0; i < t->n_nodes; i++) {
		above[i] = real_parent(t, i);
		t->nodes[i].n_children = 0;
	}
	for (uint32_t i = 0; i < t->n_nodes; i++)
		if (t->nodes[i].message != NONE && above[i] != NONE)
			t->nodes[above[i]].n_children++;
	tops = mem_array(t->n_nodes + t->n + 1, sizeof(*tops));
	for (uint32_t i = 0; i < t->n_nodes; i++) {
		struct node *node = &t->nodes[i];
		bool real = node->message != NONE;

		if (real && above[i] != NONE &&
		    (t->nodes[above[i]].message != NONE || t->nodes[above[i]].n_children > 1)) {
			add_child(t, above[i], i);
		} else if (real || (above[i] == NONE && node->n_children > 1)) {
			node->parent = NONE;
			tops[n++] = i;
		}
	}
	mem_free(&above);
	*n_out = n;
	return tops;
}

/* --- sorting (steps 4 and 6) --- */

/* The message by which NODE is sorted: for a dummy its first child. */
static const struct message *message_of(const struct imap_threads *t, uint32_t node)
{
	if (t->nodes[node].message == NONE)
		node = t->nodes[node].child;
	return &t->messages[t->nodes[node].message];
}

static int by_date(const void *a, const void *b, void *arg)
{
	const struct message *x = message_of(arg, *(const uint32_t *)a), *y = message_of(arg, *(const uint32_t *)b);

	return x->sent != y->sent ? (x->sent > y->sent) - (x->sent < y->sent) :
	                            (x->number > y->number) - (x->number < y->number);
}

/* Sorts the children of NODE. LIST: room for all nodes. */
static void sort_children(struct imap_threads *t, uint32_t node, uint32_t *list)
{
	uint32_t *link = &t->nodes[node].child;
	size_t n = 0;

	for (uint32_t c = *link; c != NONE; c = t->nodes[c].next)
		list[n++] = c;
	if (n < 2)
		return;
	qsort_r(list, n, sizeof(*list), by_date, t);
	for (size_t i = 0; i < n; i++, link = &t->nodes[*link].next)
		*link = list[i];
	*link = NONE;
}

/* --- threads with the same subject (step 5) --- */

/* A thread of whose subject the table's is to be replaced by NODE. */
static bool is_better(const struct imap_threads *t, uint32_t node, uint32_t in_table)
{
	if (t->nodes[in_table].message == NONE)
		return false;
	return t->nodes[node].message == NONE || (message_of(t, in_table)->reply && !message_of(t, node)->reply);
}

/* Moves the children of FROM, a dummy, to NODE. */
static void move_children(struct imap_threads *t, uint32_t from, uint32_t node)
{
	for (uint32_t c = t->nodes[from].child, next; c != NONE; c = next) {
		next = t->nodes[c].next;
		add_child(t, node, c);
	}
	t->nodes[from].child = NONE;
}

/* Joins the threads NODE and *IN_TABLE. What is no longer at the top has a parent then, or no child and no message. */
static void merge(struct imap_threads *t, uint32_t node, uint32_t *in_table)
{
	bool dummy = t->nodes[node].message == NONE, table_dummy = t->nodes[*in_table].message == NONE;
	uint32_t both;

	if (dummy) { /* then the table's is one, too */
		move_children(t, node, *in_table);
	} else if (table_dummy || (message_of(t, node)->reply && !message_of(t, *in_table)->reply)) {
		add_child(t, *in_table, node);
	} else {
		both = add_node(t, NONE);
		add_child(t, both, node);
		add_child(t, both, *in_table);
		*in_table = both;
	}
}

static size_t merge_subjects(struct imap_threads *t, uint32_t *tops, size_t n)
{
	uint32_t *table = mem_array(t->n + 1, sizeof(*table)), *topics = mem_array(n + 1, sizeof(*topics));
	size_t left = 0, first_new;

	for (size_t i = 0; i < t->n; i++)
		table[i] = NONE;
	for (size_t i = 0; i < n; i++) {
		uint32_t topic = topics[i] = message_of(t, tops[i])->topic;

		if (topic != NONE && (table[topic] == NONE || is_better(t, tops[i], table[topic])))
			table[topic] = tops[i];
	}
	first_new = t->n_nodes;
	for (size_t i = 0; i < n; i++)
		if (topics[i] != NONE && table[topics[i]] != tops[i])
			merge(t, tops[i], &table[topics[i]]);
	for (size_t i = 0; i < n; i++)
		if (t->nodes[tops[i]].parent == NONE &&
		    (t->nodes[tops[i]].message != NONE || t->nodes[tops[i]].child != NONE))
			tops[left++] = tops[i];
	for (size_t i = first_new; i < t->n_nodes; i++)
		tops[left++] = (uint32_t)i;
	mem_free(&table);
	mem_free(&topics);
	return left;
}

/* --- the reply --- */

static bool stands_in_parentheses(const struct imap_threads *t, uint32_t node)
{
	uint32_t parent = t->nodes[node].parent;

	return parent == NONE || t->nodes[t->nodes[parent].child].next != NONE;
}

static void print_node(const struct imap_threads *t, struct str *out, uint32_t node)
{
	const struct node *n = &t->nodes[node];

	if (stands_in_parentheses(t, node))
		str_addc(out, '(');
	if (n->message == NONE)
		return;
	str_addf(out, "%u", t->messages[n->message].number);
	if (n->child != NONE)
		str_addc(out, ' ');
}

/* Walks down and up by the links, as a thread may be as deep as it is long. */
static void print_thread(const struct imap_threads *t, struct str *out, uint32_t top)
{
	uint32_t node = top;

	for (;;) {
		print_node(t, out, node);
		if (t->nodes[node].child != NONE) {
			node = t->nodes[node].child;
			continue;
		}
		for (;;) {
			if (stands_in_parentheses(t, node))
				str_addc(out, ')');
			if (node == top)
				return;
			if (t->nodes[node].next != NONE)
				break;
			node = t->nodes[node].parent;
		}
		node = t->nodes[node].next;
	}
}

static uint32_t *references(struct imap_threads *t, size_t *n_out)
{
	uint32_t *tops, *list;
	size_t n;

	find_nodes(t);
	for (size_t i = 0; i < t->n && !t->stopped; i++)
		link_message(t, i);
	tops = prune(t, &n);
	list = mem_array(t->n_nodes + t->n + 1, sizeof(*list));
	for (size_t i = 0; i < n; i++)
		if (t->nodes[tops[i]].message == NONE)
			sort_children(t, tops[i], list);
	qsort_r(tops, n, sizeof(*tops), by_date, t);
	n = merge_subjects(t, tops, n);
	for (uint32_t i = 0; i < t->n_nodes; i++)
		sort_children(t, i, list);
	mem_free(&list);
	*n_out = n;
	return tops;
}

static int by_topic(const void *a, const void *b, void *arg)
{
	uint32_t x = message_of(arg, *(const uint32_t *)a)->topic, y = message_of(arg, *(const uint32_t *)b)->topic;

	return x != y ? (x > y) - (x < y) : by_date(a, b, arg);
}

/* The first message of a subject is the parent of its others. */
static uint32_t *orderedsubject(struct imap_threads *t, size_t *n_out)
{
	uint32_t *list, *tops = mem_array(t->n + 1, sizeof(*tops));
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++)
		add_node(t, (uint32_t)i);
	list = sorted(t, t->n, by_topic);
	for (size_t i = 0; i < t->n; i++)
		if (n > 0 && message_of(t, tops[n - 1])->topic == t->messages[list[i]].topic)
			add_child(t, tops[n - 1], list[i]);
		else
			tops[n++] = list[i];
	for (size_t i = 0; i < n; i++)
		sort_children(t, tops[i], list);
	mem_free(&list);
	*n_out = n;
	return tops;
}

void imap_threads_print(struct imap_threads *t, struct str *out, struct work *work)
{
	uint32_t *tops;
	size_t n;

	t->work = work;
	find_topics(t);
	tops = t->how == IMAP_THREAD_REFERENCES ? references(t, &n) : orderedsubject(t, &n);
	qsort_r(tops, n, sizeof(*tops), by_date, t);
	for (size_t i = 0; i < n && !t->stopped; i++)
		print_thread(t, out, tops[i]);
	mem_free(&tops);
}
