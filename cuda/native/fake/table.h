#ifndef VITH_FAKE_TABLE_H
#define VITH_FAKE_TABLE_H

#include "../driver.h"
#include "../lt/lt.h"

typedef struct {
	const char *name;
	void *function;
} fake_entry;

/* They end with an entry without a name. */
const fake_entry *fake_driver(void);
const fake_entry *fake_blas(void);

#endif
