/* What must hold at compile time, in C99, C11 and C++. */
#ifndef CHECK_H
#define CHECK_H

#include <stddef.h>

#if defined(__cplusplus)
#define CHECK(condition)	static_assert(condition, #condition)
#elif __STDC_VERSION__ >= 201112L
#define CHECK(condition)	_Static_assert(condition, #condition)
#else
/* No array has a negative length. One that is only declared may be declared again. */
#define CHECK(condition)	extern char check[(condition) ? 1 : -1]
#endif

/* A macro or an enumerator. */
#define VALUE(name, value)	CHECK((int)(name) == (value))

#define SIZE(type, bytes)	CHECK(sizeof(type) == (bytes))

/* A member of exactly this type: pointers to other types do not go together. */
#define MEMBER(structure, type, name, at) \
	CHECK(offsetof(structure, name) == (at)); \
	CHECK(sizeof(1 ? (type *)0 : &((structure *)0)->name) == sizeof(type *))

#endif
