#ifndef VITH_FAKE_TABLE_H
#define VITH_FAKE_TABLE_H

#include "../driver.h"
#include "../lt/lt.h"

typedef struct {
	const char *name;
	void *function;
} fake_entry;

/* They return how many entries *entries then has. */
int fake_driver(const fake_entry **entries);
int fake_blas(const fake_entry **entries);

#endif
